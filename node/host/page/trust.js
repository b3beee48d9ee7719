// What the citizen brings and what it says: a proof, and whom to trust. Neither is checked
// against a chain here, but a genesis must give the chain's id that it tells.

const KEY = /^[0-9a-fA-F]{64}$/;
const CHAIN_ID = /^[0-9a-fA-F]{16}$/;

// Text or bytes of a proof -> {encoded, claimed}; ``claimed`` is the transaction that a file names
function readProof(content) {
  const text = typeof content === 'string' ? content.trim() : readAsText(content);
  if (text === null) return { encoded: content, claimed: null };
  if (text.startsWith('{')) {
    const file = parseJson('proof', text);
    if (typeof file.proof !== 'string' || !isHex(file.proof)) {
      throw new Refused('encoding', file.detail
        ? `the node answered: ${file.detail}` : 'the file holds no "proof" in hex');
    }
    const claimed = typeof file.transaction_id === 'string' ? file.transaction_id : null;
    return { encoded: fromHex(file.proof), claimed };
  }
  const hex = text.replace(/\s+/g, '');
  if (!isHex(hex)) {
    throw new Refused('encoding', 'neither a proof file nor hex digits');
  }
  return { encoded: fromHex(hex), claimed: null };
}

// A file of text as text, null for one of bytes
function readAsText(bytes) {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes).trim();
    return text.startsWith('{') || isHex(text.replace(/\s+/g, '')) ? text : null;
  } catch (error) {
    return null;
  }
}

function parseJson(step, text) {
  try {
    // Times in nanoseconds are longer than the numbers of JSON.parse: keep their digits.
    const quoted = text.replace(/([:[,]\s*)(\d{16,})(?=\s*[,\]}])/g, '$1"$2"');
    const value = JSON.parse(quoted);
    if (typeof value === 'object' && value !== null) return value;
  } catch (error) {
    // said below, in the page's own words
  }
  throw new Refused(step, 'this is not a whole JSON file');
}

// Text of a genesis file, of /v1/genesis or of a list of keys, and the chain's id as the
// citizen knows it ('' if not) -> {chainId, validators, isFromGenesis}
async function readTrust(text, knownId) {
  const known = knownId.trim().toLowerCase();
  if (known && !CHAIN_ID.test(known)) throw new Refused('trust', 'a chain id has 16 hex digits');
  const trimmed = text.trim();
  const isFile = trimmed.startsWith('{');
  const trust = isFile
    ? await readGenesis(parseJson('trust', trimmed))
    : { chainId: fromHex(known), validators: readKeys(trimmed), isFromGenesis: false };
  if (!isFile && !known) throw new Refused('trust', 'keys alone: give the chain id as well');
  if (known && toHex(trust.chainId) !== known) {
    throw new Refused('trust', `this is the genesis of chain ${toHex(trust.chainId)}, not ${known}`);
  }
  return trust;
}

async function readGenesis(file) {
  const encoded = typeof file.encoded === 'string' && isHex(file.encoded)
    ? fromHex(file.encoded) : encodeGenesis(file);
  const chainId = (await digest('genesis', encoded)).subarray(0, 8);
  if (file.chain_id !== toHex(chainId)) {
    throw new Refused('trust', `the genesis gives the chain id ${toHex(chainId)}, but names `
      + `${file.chain_id}: someone changed it`);
  }
  const fields = refuseEncoding('trust', () => decode(encoded, 1 << 20));
  if (!isList(fields, 5) || !isList(fields[1]) || !fields[1].length
      || !fields[1].every((key) => isBytes(key, 32))) {
    throw new Refused('trust', 'this genesis names no validators');
  }
  return { chainId, validators: fields[1], isFromGenesis: true };
}

function encodeGenesis(file) {
  const keys = (list) => readKeys(JSON.stringify(list || []));
  const number = (value) => {
    if (!/^\d{1,19}$/.test(String(value))) throw new Refused('trust', `${value} is not a number`);
    return BigInt(value);
  };
  const params = Object.entries(file.params || {}).map(
    ([name, value]) => (name === 'engine' ? String(value).slice(0, 31) : number(value)),
  );
  return encode([
    params, keys(file.validators), keys(file.relays), keys([file.registrar])[0],
    number(file.time_ns),
  ]);
}

function readKeys(text) {
  const keys = text.split(/[\s,"[\]]+/).filter(Boolean);
  const wrong = keys.find((key) => !KEY.test(key));
  if (wrong !== undefined) {
    throw new Refused('trust', `"${wrong.slice(0, 20)}" is no public key of 64 hex digits`);
  }
  return keys.map(fromHex);
}
