// Ed25519 (RFC 8032, 5.1) with the strictness of libsodium, which the nodes use: S below the
// group's order, keys canonical and not of small order, R not of small order, no cofactor. The
// browser's own check decides where there is one, after those rules; otherwise this arithmetic
// does. Nothing here is secret, so nothing here has to take constant time.

const FIELD = 2n ** 255n - 19n;
const ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;
const LOW_255 = (1n << 255n) - 1n;

const mod = (value) => {
  const rest = value % FIELD;
  return rest < 0n ? rest + FIELD : rest;
};

function power(base, exponent) {
  let result = 1n;
  let square = mod(base);
  for (let left = exponent; left > 0n; left >>= 1n) {
    if (left & 1n) result = mod(result * square);
    square = mod(square * square);
  }
  return result;
}

const invert = (value) => power(value, FIELD - 2n);
const CURVE_D = mod(-121665n * invert(121666n));
const ROOT_OF_MINUS_ONE = power(2n, (FIELD - 1n) / 4n);
const BASE = recover(mod(4n * invert(5n)), 0n);

// Points are [X, Y, Z, T] with x = X/Z, y = Y/Z, xy = T/Z (RFC 8032, 5.1.4).
function add(one, other) {
  const a = mod((one[1] - one[0]) * (other[1] - other[0]));
  const b = mod((one[1] + one[0]) * (other[1] + other[0]));
  const c = mod(2n * one[3] * other[3] * CURVE_D);
  const d = mod(2n * one[2] * other[2]);
  const [e, f, g, h] = [b - a, d - c, d + c, b + a];
  return [mod(e * f), mod(g * h), mod(f * g), mod(e * h)];
}

function multiply(point, factor) {
  let result = [0n, 1n, 1n, 0n];
  let double = point;
  for (let left = factor; left > 0n; left >>= 1n) {
    if (left & 1n) result = add(result, double);
    double = add(double, double);
  }
  return result;
}

// The point with this y and this parity of x, null if there is none (5.1.3).
function recover(y, sign) {
  const u = mod(y * y - 1n);
  const v = mod(CURVE_D * y * y + 1n);
  let x = mod(u * v ** 3n * power(u * v ** 7n, (FIELD - 5n) / 8n));
  if (mod(v * x * x) !== u) x = mod(x * ROOT_OF_MINUS_ONE);
  if (mod(v * x * x) !== u || (x === 0n && sign)) return null;
  if ((x & 1n) !== sign) x = FIELD - x;
  return [x, y, 1n, mod(x * y)];
}

function readLittle(bytes) {
  return BigInt(`0x${toHex(bytes.slice().reverse())}`);
}

function decodePoint(bytes) {
  const value = readLittle(bytes);
  const y = value & LOW_255;
  return y < FIELD ? recover(y, value >> 255n) : null;
}

function encodePoint([x, y, z]) {
  const inverse = invert(z);
  const value = mod(y * inverse) | ((mod(x * inverse) & 1n) << 255n);
  return fromHex(value.toString(16).padStart(64, '0')).reverse();
}

// The eight points of small order have these y, whichever way they are written.
function isSmallOrder(bytes) {
  const y = mod(readLittle(bytes) & LOW_255);
  const point = recover(y, 0n);
  if (point === null) return false;
  const [x, eightY, z] = multiply(point, 8n);
  return x === 0n && eightY === z;
}

async function isSignatureValid(key, message, signature) {
  if (key.length !== 32 || signature.length !== 64) return false;
  const first = signature.subarray(0, 32);
  if (readLittle(signature.subarray(32)) >= ORDER) return false;
  if ((readLittle(key) & LOW_255) >= FIELD || isSmallOrder(key) || isSmallOrder(first)) {
    return false;
  }
  const native = await importNative(key);
  if (native) return crypto.subtle.verify('Ed25519', native, signature, message);
  return isEquationTrue(key, message, signature);
}

async function importNative(key) {
  if (!hasSubtle()) return null;
  try {
    return await crypto.subtle.importKey('raw', key, 'Ed25519', false, ['verify']);
  } catch (error) {
    return null; // this browser does not know Ed25519, or refuses what decodePoint will judge
  }
}

async function isEquationTrue(key, message, signature) {
  const point = decodePoint(key);
  if (point === null) return false;
  const first = signature.subarray(0, 32);
  const h = readLittle(await sha512(join([first, key, message]))) % ORDER;
  const negative = [mod(-point[0]), point[1], point[2], mod(-point[3])];
  const scaled = multiply(BASE, readLittle(signature.subarray(32)));
  return isSame(encodePoint(add(scaled, multiply(negative, h))), first);
}
