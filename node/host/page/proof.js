// The rules of node/proof.py, step by step and in its words. A proof is checked against what
// the citizen trusts: the chain's id and its validators, in order. What the proof says of
// itself is believed only when a quorum of them has sealed it.

const PROOF_BYTES_MAX = 1 << 22;
const HEADER_BYTES_MAX = 64 * 1024;
const VALIDATORS_MAX = 1024;
const RECEIPT_BYTES_MAX = 512;
const EXACT_END = 2n ** 53n;
const EMPTY_ROOT = new Uint8Array(32);

const isNumber = (value, end) => typeof value === 'bigint' && value >= 0n && value < end;
const isBytes = (value, size) => value instanceof Uint8Array
  && (size === undefined || value.length === size);
const isList = (value, length) => Array.isArray(value)
  && (length === undefined || value.length === length);

function refuseEncoding(step, work) {
  try {
    return work();
  } catch (error) {
    if (error instanceof InvalidEncoding) throw new Refused(step, error.message);
    throw error;
  }
}

// {kind: 'inclusion' | 'record', sealed, ...}: whatever the bytes hold
function decodeProof(encoded) {
  const fields = refuseEncoding('encoding', () => decode(encoded, 2 * PROOF_BYTES_MAX));
  if (isList(fields, 5) && isBytes(fields[1])) return takeInclusion(fields);
  if (isList(fields, 4)) return takeRecord(fields);
  throw new Refused('encoding', 'not a proof');
}

function takeInclusion([sealed, receipt, index, count, path]) {
  const isShaped = isNumber(index, 2n ** 64n) && isNumber(count, 2n ** 64n) && index < count
    && isList(path) && path.every((step) => isBytes(step, 32));
  if (!isShaped) throw new Refused('encoding', 'not an inclusion proof');
  return { kind: 'inclusion', sealed: takeSealed(sealed), receipt, index, count, path };
}

function takeRecord([sealed, key, value, path]) {
  if (!isBytes(key) || !(value === null || isBytes(value)) || !isBytes(path)) {
    throw new Refused('encoding', 'not a record proof');
  }
  return { kind: 'record', sealed: takeSealed(sealed), key, value, path };
}

function takeSealed(value) {
  if (!isList(value, 3) || !isBytes(value[0]) || !isNumber(value[1], EXACT_END)
      || !isList(value[2])) {
    throw new Refused('encoding', 'not a sealed header');
  }
  const [header, round, seals] = value;
  for (const seal of seals) {
    if (!isList(seal, 2) || !isNumber(seal[0], BigInt(VALIDATORS_MAX)) || !isBytes(seal[1], 64)) {
      throw new Refused('encoding', 'wrong seal');
    }
  }
  return {
    header, round,
    seals: seals.map(([validator, signature]) => ({ validator: Number(validator), signature })),
  };
}

function decodeHeader(encoded) {
  const fields = refuseEncoding(
    'header', () => decode(encoded, HEADER_BYTES_MAX, VALIDATORS_MAX + 32),
  );
  const isShaped = isList(fields, 10) && isBytes(fields[0], 8) && isNumber(fields[1], EXACT_END)
    && isBytes(fields[2], 32) && isNumber(fields[3], 2n ** 63n)
    && [4, 5, 6, 7].every((at) => isBytes(fields[at], 32))
    && isList(fields[8]) && fields[8].length > 0
    && fields[8].every((key) => isBytes(key, 32));
  if (!isShaped) throw new Refused('header', 'wrong fields');
  const vote = fields[9];
  if (vote !== null && !(isList(vote, 2) && isBytes(vote[0], 32) && typeof vote[1] === 'boolean')) {
    throw new Refused('header', 'wrong vote');
  }
  const [chainId, height, parent, timeNs, proposer, bundlesRoot, receiptsRoot, stateRoot,
    validators] = fields;
  return {
    chainId, height, parent, timeNs, proposer, bundlesRoot, receiptsRoot, stateRoot, validators,
  };
}

// ceil(2N/3), not 2f+1: the two agree only for N = 3f+1 (node/consensus/quorum.py)
const computeQuorum = (count) => Math.floor((2 * count + 2) / 3);

function checkHeader(sealed, trust) {
  const header = decodeHeader(sealed.header);
  if (!isSame(header.chainId, trust.chainId)) throw new Refused('header', 'another chain');
  const isTheirs = header.validators.length === trust.validators.length
    && header.validators.every((key, at) => isSame(key, trust.validators[at]));
  if (!isTheirs) throw new Refused('header', 'other validators');
  return header;
}

async function checkSeals(sealed, header, validators) {
  const quorum = computeQuorum(validators.length);
  if (sealed.seals.length < quorum) throw new Refused('seals', 'too few seals');
  const block = await digest('header', sealed.header);
  const message = await digest('seal', encode([
    header.chainId, header.height, sealed.round, block,
  ]));
  let last = -1;
  for (const { validator, signature } of sealed.seals) {
    if (!(last < validator && validator < validators.length)) {
      throw new Refused('seals', 'seals not of distinct validators');
    }
    last = validator;
    if (!await isSignatureValid(validators[validator], message, signature)) {
      throw new Refused('seals', 'seal signature');
    }
  }
  return { quorum, block };
}

// RFC 9162, 2.1.3.2, as in node/merkle.py
async function checkPath(root, { receipt, index, count, path }) {
  const leaf = (content) => sha256(join([Uint8Array.of(0), content]));
  const pair = (left, right) => sha256(join([Uint8Array.of(1), left, right]));
  let found = await leaf(receipt);
  let place = index;
  let at = 0;
  for (let last = count - 1n; last > 0n; last >>= 1n) {
    if (place & 1n || place < last) { // otherwise it has no sibling on this level
      if (at === path.length) throw new Refused('path', 'too short');
      const other = path[at];
      at += 1;
      found = place & 1n ? await pair(other, found) : await pair(found, other);
    }
    place >>= 1n;
  }
  if (at !== path.length) throw new Refused('path', 'too long');
  if (!isSame(found, root)) throw new Refused('path', 'another root');
}

function readReceipt(proof, header) {
  const fields = refuseEncoding('receipt', () => decode(proof.receipt, RECEIPT_BYTES_MAX, 8));
  const isShaped = isList(fields, 4) && isBytes(fields[0], 32) && isNumber(fields[1], 2n ** 64n)
    && isNumber(fields[2], 2n ** 64n) && typeof fields[3] === 'string';
  if (!isShaped) throw new Refused('receipt', 'not [transaction_id, height, index, status]');
  const [transactionId, height, index, status] = fields;
  if (height !== header.height || index !== proof.index) {
    throw new Refused('receipt', 'of another place');
  }
  return { transactionId, height, index, status };
}

// Records: a tree of radix 16 and depth 4 over SHA-256 of the key, as in node/state.py.
const TREE_DEPTH = 4;
const SIBLINGS_BYTES = 32 * 15;

async function checkRecord(root, { key, value, path }) {
  const { siblings, leaves, place, records } = takeRecordPath(path);
  if (key.length > 0xffff) throw new Refused('state', 'key too long');
  const tagged = (tag, ...parts) => sha256(join([toBytes(`veche/${tag}\0`), ...parts]));
  let at = place;
  for (const record of records) {
    const leaf = await tagged('record', record);
    if (!isSame(leaves.subarray(32 * at, 32 * at + 32), leaf)) {
      throw new Refused('state', 'record outside of its bucket');
    }
    at += 1;
  }
  const head = join([Uint8Array.of(key.length >> 8, key.length & 0xff), key]);
  if (value === null) checkAbsence(head, at, leaves.length / 32, records);
  else if (records.length !== 1 || !isSame(records[0], join([head, value]))) {
    throw new Refused('state', 'another record');
  }
  let found = leaves.length ? await tagged('bucket', leaves) : EMPTY_ROOT;
  const [high, low] = await sha256(key);
  const nibbles = [high >> 4, high & 15, low >> 4, low & 15].slice(0, siblings.length);
  for (let level = nibbles.length - 1; level >= 0; level -= 1) {
    const begin = 32 * nibbles[level];
    const others = siblings[level];
    found = await tagged('node', others.subarray(0, begin), found, others.subarray(begin));
  }
  if (!isSame(found, root)) throw new Refused('state', 'another root');
}

function takeRecordPath(path) {
  const fields = refuseEncoding('state', () => decode(path, PROOF_BYTES_MAX, 16));
  const isShaped = isList(fields, 4) && isList(fields[0]) && isBytes(fields[1])
    && isList(fields[3]) && ['bigint', 'boolean'].includes(typeof fields[2])
    && (fields[0].length === TREE_DEPTH
      || (fields[0].length < TREE_DEPTH && fields[1].length === 0));
  if (!isShaped) {
    throw new Refused('state', 'proof is not [siblings, leaves, place, records]');
  }
  const [siblings, leaves, place, records] = fields;
  const areBytes = [...siblings, ...records].every((item) => isBytes(item));
  if (!areBytes || typeof place !== 'bigint') {
    throw new Refused('state', 'siblings or records of the wrong type');
  }
  if (leaves.length % 32 || siblings.some((item) => item.length !== SIBLINGS_BYTES)) {
    throw new Refused('state', 'siblings or leaves of the wrong size');
  }
  if (place < 0n || place > BigInt(leaves.length / 32)) {
    throw new Refused('state', 'place outside of the bucket');
  }
  return { siblings, leaves, place: Number(place), records };
}

// Records stand in order, so the missing one would stand between shown neighbours.
function checkAbsence(head, after, count, records) {
  const starts = (record) => isSame(record.subarray(0, head.length), head);
  if (records.some(starts)) throw new Refused('state', 'the record exists');
  const isFirst = after === records.length;
  const isLast = after === count;
  if (records.length === 0 && count === 0) return;
  if (records.length === 1) {
    const order = compare(head, records[0]);
    if ((isFirst && order < 0) || (isLast && order > 0)) return;
  }
  if (records.length === 2 && compare(records[0], head) < 0 && compare(head, records[1]) < 0) {
    return;
  }
  throw new Refused('state', 'not the neighbours');
}

function compare(one, other) {
  const length = Math.min(one.length, other.length);
  for (let at = 0; at < length; at += 1) {
    if (one[at] !== other[at]) return one[at] - other[at];
  }
  return one.length - other.length;
}

// What the proof proves; Refused with the step and the reason. ``tell`` hears of each step done.
async function verifyProof(encoded, trust, tell = () => {}) {
  const proof = decodeProof(encoded);
  tell('encoding', proof);
  const header = checkHeader(proof.sealed, trust);
  tell('header', header);
  const { quorum, block } = await checkSeals(proof.sealed, header, trust.validators);
  tell('seals', { quorum, block, seals: proof.sealed.seals });
  const proven = { kind: proof.kind, header, block, quorum, seals: proof.sealed.seals };
  if (proof.kind === 'record') {
    await checkRecord(header.stateRoot, proof);
    tell('state', proof);
    return { ...proven, key: proof.key, value: proof.value };
  }
  await checkPath(header.receiptsRoot, proof);
  tell('path', proof);
  const receipt = readReceipt(proof, header);
  tell('receipt', receipt);
  return { ...proven, receipt, count: proof.count };
}
