// Canonical msgpack with strict limits, by the rules and in the words of node/codec.py: nil,
// booleans, integers of 64 bits (as BigInt), strings, byte strings and arrays, each in its
// shortest form. One pass over the bytes checks all of it before anything is built.

class Refused extends Error {
  constructor(step, reason) {
    super(`${step}: ${reason}`);
    this.step = step;
    this.reason = reason;
  }
}

class InvalidEncoding extends Error {
  constructor(reason, size) {
    super(`${reason} (${size} bytes)`);
  }
}

const ELEMENTS_MAX = 65536;
const DEPTH_MAX = 8;

// tag -> bytes of the length, least length for which this form is the shortest, array?
const LENGTH_FORMS = new Map([
  [0xc4, [1, 0, false]], [0xc5, [2, 1 << 8, false]], [0xc6, [4, 1 << 16, false]],
  [0xd9, [1, 32, false]], [0xda, [2, 1 << 8, false]], [0xdb, [4, 1 << 16, false]],
  [0xdc, [2, 16, true]], [0xdd, [4, 1 << 16, true]],
]);

// tag -> width, signed?, least and greatest value for which a shorter form exists
const INTEGER_FORMS = new Map([
  [0xcc, [1, false, 0n, 0x7fn]], [0xcd, [2, false, 0n, 0xffn]],
  [0xce, [4, false, 0n, 0xffffn]], [0xcf, [8, false, 0n, 0xffffffffn]],
  [0xd0, [1, true, -32n, 0x7fn]], [0xd1, [2, true, -128n, 0x7fffn]],
  [0xd2, [4, true, -(1n << 15n), 0x7fffffffn]],
  [0xd3, [8, true, -(1n << 31n), (1n << 63n) - 1n]],
]);

function decode(data, bytesMax, elementsMax = ELEMENTS_MAX) {
  const size = data.length;
  if (size > bytesMax) throw new InvalidEncoding('oversized', size);
  const end = scan(data, size, elementsMax);
  if (end !== size) {
    throw new InvalidEncoding(end > size ? 'truncated' : 'trailing bytes', size);
  }
  return build(data, 0)[0];
}

function scan(data, size, elementsMax) {
  let at = 0;
  let elements = 1;
  let left = 1; // elements still to come in the innermost open array
  const outer = [];
  for (;;) {
    while (left) {
      left -= 1;
      const [end, count] = skip(data, at, size);
      at = end;
      if (count < 0) continue;
      elements += count;
      if (elements > elementsMax) throw new InvalidEncoding('too many elements', size);
      if (outer.length === DEPTH_MAX) throw new InvalidEncoding('nested too deeply', size);
      outer.push(left);
      left = count;
    }
    if (!outer.length) return at;
    left = outer.pop();
  }
}

// [where the element ends, -1], or [where the first element begins, how many]
function skip(data, at, size) {
  if (at >= size) throw new InvalidEncoding('truncated', size);
  const tag = data[at];
  if (tag < 0x80 || tag >= 0xe0 || tag === 0xc0 || tag === 0xc2 || tag === 0xc3) {
    return [at + 1, -1];
  }
  if (tag >= 0xa0 && tag < 0xc0) return [at + 1 + (tag & 0x1f), -1];
  if ((tag & 0xf0) === 0x90) return [at + 1, tag & 0x0f];
  const integer = INTEGER_FORMS.get(tag);
  if (integer) {
    const [width, isSigned, low, high] = integer;
    const end = at + 1 + width;
    if (end > size) throw new InvalidEncoding('truncated', size);
    const value = readInteger(data, at + 1, width, isSigned);
    if (low <= value && value <= high) throw new InvalidEncoding('not canonical', size);
    return [end, -1];
  }
  const form = LENGTH_FORMS.get(tag);
  if (!form) throw new InvalidEncoding('type outside of the subset', size);
  const [width, least, isArray] = form;
  const end = at + 1 + width;
  if (end > size) throw new InvalidEncoding('truncated', size);
  const length = Number(readInteger(data, at + 1, width, false));
  if (length < least) throw new InvalidEncoding('not canonical', size);
  return isArray ? [end, length] : [end + length, -1];
}

function readInteger(data, at, width, isSigned) {
  let value = 0n;
  for (let i = 0; i < width; i += 1) value = (value << 8n) | BigInt(data[at + i]);
  return isSigned ? BigInt.asIntN(8 * width, value) : value;
}

// [value, where it ends] of bytes that were scanned
function build(data, at) {
  const tag = data[at];
  if (tag < 0x80) return [BigInt(tag), at + 1];
  if (tag >= 0xe0) return [BigInt(tag) - 256n, at + 1];
  if (tag === 0xc0) return [null, at + 1];
  if (tag === 0xc2 || tag === 0xc3) return [tag === 0xc3, at + 1];
  const integer = INTEGER_FORMS.get(tag);
  if (integer) {
    const [width, isSigned] = integer;
    return [readInteger(data, at + 1, width, isSigned), at + 1 + width];
  }
  let start = at + 1;
  let length = tag & 0x1f;
  let isArray = false;
  if ((tag & 0xf0) === 0x90) {
    length = tag & 0x0f;
    isArray = true;
  } else if (LENGTH_FORMS.has(tag)) {
    const [width, , isLongArray] = LENGTH_FORMS.get(tag);
    length = Number(readInteger(data, start, width, false));
    start += width;
    isArray = isLongArray;
  }
  if (isArray) return buildArray(data, start, length);
  const content = data.subarray(start, start + length);
  const isText = tag < 0xc0 || tag >= 0xd9;
  return [isText ? readText(content, data.length) : content, start + length];
}

function buildArray(data, start, count) {
  const items = [];
  let at = start;
  for (let i = 0; i < count; i += 1) {
    const [item, end] = build(data, at);
    items.push(item);
    at = end;
  }
  return [items, at];
}

function readText(content, size) {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(content);
  } catch (error) {
    throw new InvalidEncoding('malformed', size);
  }
}

// The canonical bytes of byte strings, short strings, numbers from 0 to 2**64 - 1, and arrays.
function encode(value) {
  if (typeof value === 'bigint') return encodeNumber(value);
  if (typeof value === 'string') {
    const text = toBytes(value);
    if (text.length > 31) throw new RangeError(`a string of ${text.length} bytes`);
    return join([Uint8Array.of(0xa0 | text.length), text]);
  }
  if (value instanceof Uint8Array) return join([encodeLength(value.length), value]);
  const head = value.length < 16
    ? Uint8Array.of(0x90 | value.length)
    : Uint8Array.of(0xdc, value.length >> 8, value.length & 0xff);
  return join([head, ...value.map(encode)]);
}

function encodeNumber(value) {
  if (value < 0x80n) return Uint8Array.of(Number(value));
  const width = value < 1n << 8n ? 1 : value < 1n << 16n ? 2 : value < 1n << 32n ? 4 : 8;
  const bytes = [0xcc + Math.log2(width)];
  for (let i = width - 1; i >= 0; i -= 1) {
    bytes.push(Number((value >> BigInt(8 * i)) & 0xffn));
  }
  return Uint8Array.from(bytes);
}

function encodeLength(length) {
  if (length < 1 << 8) return Uint8Array.of(0xc4, length);
  if (length < 1 << 16) return Uint8Array.of(0xc5, length >> 8, length & 0xff);
  return Uint8Array.of(0xc6, length >>> 24, (length >> 16) & 0xff, (length >> 8) & 0xff,
    length & 0xff);
}

function join(parts) {
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

function isSame(one, other) {
  return one.length === other.length && one.every((byte, at) => byte === other[at]);
}

function toHex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

function isHex(text) {
  return text.length % 2 === 0 && /^[0-9a-fA-F]*$/.test(text);
}

function fromHex(text) {
  return Uint8Array.from(text.match(/../g) || [], (pair) => parseInt(pair, 16));
}

const toBytes = (text) => new TextEncoder().encode(text);
