// SHA-256 and SHA-512. A browser does them itself for a page that came safely (https, this
// machine, a file); for any other page they are done here, by FIPS 180-4, whose constants are
// the fractions of square and cube roots of the first primes.

const ownArithmetic = { isWanted: false }; // tests and "#own" in the address ask for it

function hasSubtle() {
  return !ownArithmetic.isWanted && typeof crypto === 'object' && Boolean(crypto.subtle);
}

async function sha256(data) {
  if (!hasSubtle()) return sha2(data, 32n);
  return new Uint8Array(await crypto.subtle.digest('SHA-256', data));
}

async function sha512(data) {
  if (!hasSubtle()) return sha2(data, 64n);
  return new Uint8Array(await crypto.subtle.digest('SHA-512', data));
}

// node/crypto.py: SHA-256 under a domain, so that no encoding stands for two things
function digest(domain, content) {
  return sha256(join([toBytes(`veche/${domain}\0`), content]));
}

function findRoot(value, degree) {
  let low = 0n;
  let high = 1n << 80n;
  while (low < high) {
    const middle = (low + high + 1n) >> 1n;
    if (middle ** degree <= value) low = middle;
    else high = middle - 1n;
  }
  return low;
}

function findPrimes(count) {
  const primes = [];
  for (let number = 2; primes.length < count; number += 1) {
    if (primes.every((prime) => number % prime)) primes.push(number);
  }
  return primes.map(BigInt);
}

const LOW_64 = (1n << 64n) - 1n;
const CUBE_ROOTS = findPrimes(80).map((prime) => findRoot(prime << 192n, 3n) & LOW_64);
const SQUARE_ROOTS = findPrimes(8).map((prime) => findRoot(prime << 128n, 2n) & LOW_64);

// width -> rounds, and the amounts of the four functions; the last of each s is a shift
const SHA2 = {
  32: { rounds: 64, S0: [2n, 13n, 22n], S1: [6n, 11n, 25n], s0: [7n, 18n, 3n], s1: [17n, 19n, 10n] },
  64: { rounds: 80, S0: [28n, 34n, 39n], S1: [14n, 18n, 41n], s0: [1n, 8n, 7n], s1: [19n, 61n, 6n] },
};

function sha2(data, width) {
  const { rounds, S0, S1, s0, s1 } = SHA2[width];
  const mask = (1n << width) - 1n;
  const spare = 64n - width;
  const turn = (x, n) => ((x >> n) | (x << (width - n))) & mask;
  const big = (x, [a, b, c]) => turn(x, a) ^ turn(x, b) ^ turn(x, c);
  const small = (x, [a, b, c]) => turn(x, a) ^ turn(x, b) ^ (x >> c);
  const wordBytes = Number(width) / 8;
  const padded = pad(data, 16 * wordBytes);
  const sum = SQUARE_ROOTS.map((root) => root >> spare);
  for (let start = 0; start < padded.length; start += 16 * wordBytes) {
    const words = [];
    for (let t = 0; t < rounds; t += 1) {
      words.push(t < 16
        ? readInteger(padded, start + t * wordBytes, wordBytes, false)
        : (small(words[t - 2], s1) + words[t - 7] + small(words[t - 15], s0) + words[t - 16])
          & mask);
    }
    let [a, b, c, d, e, f, g, h] = sum;
    for (let t = 0; t < rounds; t += 1) {
      const choice = (e & f) ^ (~e & mask & g);
      const majority = (a & b) ^ (a & c) ^ (b & c);
      const one = h + big(e, S1) + choice + (CUBE_ROOTS[t] >> spare) + words[t];
      const two = big(a, S0) + majority;
      [h, g, f, e, d, c, b, a] = [g, f, e, (d + one) & mask, c, b, a, (one + two) & mask];
    }
    [a, b, c, d, e, f, g, h].forEach((word, i) => { sum[i] = (sum[i] + word) & mask; });
  }
  const hex = sum.map((word) => word.toString(16).padStart(2 * wordBytes, '0')).join('');
  return fromHex(hex);
}

function pad(data, blockBytes) {
  const lengthBytes = blockBytes / 8;
  const blocks = Math.ceil((data.length + 1 + lengthBytes) / blockBytes);
  const padded = new Uint8Array(blocks * blockBytes);
  padded.set(data);
  padded[data.length] = 0x80;
  new DataView(padded.buffer).setBigUint64(padded.length - 8, BigInt(data.length) * 8n);
  return padded;
}
