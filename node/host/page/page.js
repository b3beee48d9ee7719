// The page itself: takes what the citizen gives, checks it, and says what came of it.

const STEPS = [
  ['encoding', 'It is a proof'],
  ['trust', 'Whom you trust'],
  ['header', 'Of this chain'],
  ['seals', 'Sealed by a quorum'],
  ['path', 'Receipt in the block'],
  ['receipt', 'At its place'],
  ['state', 'Record in the state'],
  ['transaction', 'The one you ask for'],
];
const KINDS = { inclusion: ['path', 'receipt', 'transaction'], record: ['state'] };

const REASONS = {
  'another chain': 'The block belongs to another chain than the one you trust.',
  'other validators': 'The block names other validators than those you trust.',
  'too few seals': 'Too few validators sealed this block: it is not final.',
  'seals not of distinct validators': 'Seals stand out of order, twice, or are of strangers.',
  'seal signature': 'A seal was not made by the validator under whose name it stands, or not '
    + 'for this block.',
  'another root': 'The hashes lead to another block: something on the way was changed.',
  'too short': 'Hashes are missing on the way from the receipt to the block.',
  'too long': 'There are more hashes than lead from the receipt to the block.',
  'of another place': 'The receipt is of another block or another place in it.',
};

const element = (id) => document.getElementById(id);
const given = { proof: '', trust: '' }; // text, or bytes of a file
let turn = 0; // of checks: only the last one may speak

function make(tag, text, className) {
  const made = document.createElement(tag);
  if (text) made.textContent = text;
  if (className) made.className = className;
  return made;
}

async function check() {
  turn += 1;
  const mine = turn;
  const hasProof = given.proof.length > 0;
  const hasTrust = given.trust.length > 0;
  if (!hasProof || !hasTrust) {
    const missing = hasProof ? 'Give the genesis that you trust.'
      : hasTrust ? 'Give a proof.' : 'Give a proof and the validators.';
    show(mine, { done: [], verdict: ['waiting', '?', 'Nothing is checked yet', missing] });
    return;
  }
  show(mine, { done: [], verdict: ['waiting', '…', 'Checking', 'This takes a moment.'] });
  const done = [];
  const tell = (step, found) => done.push([step, found]);
  let shown;
  try {
    shown = await judge(tell);
  } catch (error) {
    shown = describeFailure(error);
    if (!(error instanceof Refused)) console.error(error); // a fault of this page's own
  }
  show(mine, { done, ...shown });
}

async function judge(tell) {
  const { encoded, claimed } = readProof(given.proof);
  tell('encoding', decodeProof(encoded));
  const trust = await readTrust(given.trust, element('chain').value);
  tell('trust', trust);
  const asked = element('transaction').value.trim().toLowerCase();
  const proven = await verifyProof(encoded, trust, tell);
  if (proven.kind === 'record') {
    if (asked) throw new Refused('encoding', 'this proves a record, not a transaction');
    return describeRecord(proven, trust);
  }
  const proved = toHex(proven.receipt.transactionId);
  if (claimed !== null && claimed.toLowerCase() !== proved) {
    throw new Refused('transaction', `the file names transaction ${claimed}, but proves ${proved}`);
  }
  if (asked && asked !== proved) {
    throw new Refused('transaction', `you ask for ${asked}, but this proves ${proved}`);
  }
  if (asked) tell('transaction', proved);
  return describeInclusion(proven, trust);
}

function describeFailure(error) {
  if (!(error instanceof Refused)) {
    const because = `The page failed: ${error.message}. Nothing is proved.`;
    return { verdict: ['bad', '✗', 'This could not be checked', because] };
  }
  const reason = REASONS[error.reason] || `${error.reason}.`;
  const headline = error.step === 'trust' ? 'The genesis cannot be used'
    : 'This proof does not hold';
  return { failed: error, verdict: ['bad', '✗', headline, reason] };
}

function describeInclusion(proven, trust) {
  const { receipt, header } = proven;
  const isOk = receipt.status === 'ok';
  const where = `Block ${header.height} holds it for good`;
  const advice = adviseOnTrust(trust);
  return {
    proven, trust,
    verdict: isOk
      ? ['good', '✓', 'It is in the chain, and it was accepted', `${where}.${advice}`]
      : ['warm', '!', 'It is in the chain, but it was refused', `${where}, with the outcome `
        + `“${receipt.status}”: it changed nothing.${advice}`],
    facts: [
      ['Transaction', toHex(receipt.transactionId), true], ['Outcome', receipt.status],
      ['Place', `${receipt.index + 1n} of ${proven.count} in block ${header.height}`],
    ],
  };
}

// The page cannot know whether the citizen has this id from a source worth trusting.
function adviseOnTrust(trust) {
  return element('chain').value.trim() ? ''
    : ` Compare the chain’s id, ${toHex(trust.chainId)}, with the published one.`;
}

function describeRecord(proven, trust) {
  const { header, key, value } = proven;
  const advice = adviseOnTrust(trust);
  return {
    proven, trust,
    verdict: value === null
      ? ['good', '✓', 'There was no such record', `The state after block ${header.height} held `
        + `nothing under this key.${advice}`]
      : ['good', '✓', 'The record is in the state', `It is what the chain held after block `
        + `${header.height}.${advice}`],
    facts: [
      ['Key', toHex(key), true], ...(value === null ? [] : [['Record', toHex(value), true]]),
    ],
  };
}

function show(mine, { done, failed, verdict, proven, trust, facts }) {
  if (mine !== turn) return;
  const [kind, sign, headline, because] = verdict;
  element('verdict').className = `verdict ${kind}`;
  element('sign').textContent = sign;
  element('headline').textContent = headline;
  element('because').textContent = because;
  element('steps').replaceChildren(...listSteps(done, failed));
  element('seals').replaceChildren(...(proven ? listSeals(proven, trust) : []));
  element('facts').replaceChildren(...(proven ? listFacts(proven, trust, facts) : []));
  document.body.dataset.verdict = kind;
}

function listSteps(done, failed) {
  if (!done.length && !failed) return [];
  const found = new Map(done);
  const proof = found.get('encoding');
  const others = proof ? KINDS[proof.kind === 'record' ? 'inclusion' : 'record'] : ['state'];
  return STEPS.filter(([step]) => !others.includes(step)).map(([step, title]) => {
    const isFailed = failed && failed.step === step;
    const isDone = found.has(step) && !isFailed;
    const item = make('li', '', isDone ? 'done' : isFailed ? 'failed' : 'open');
    const text = isDone ? sayDone(step, found.get(step)) : isFailed ? failed.reason
      : failed ? 'not reached' : 'give the transaction’s id to have it compared';
    item.append(make('b', isDone ? '✓' : isFailed ? '✗' : '·'), make('div', title),
      make('span', text));
    return item;
  });
}

function sayDone(step, found) {
  switch (step) {
    case 'encoding': return found.kind === 'record' ? 'of a record of the state'
      : 'of a transaction in a block';
    case 'trust': return `chain ${toHex(found.chainId)}, ${count(found.validators.length, 'validator')}`;
    case 'header': return `block ${found.height} names this chain and these validators`;
    case 'seals': return `${found.seals.length} sealed it and ${found.quorum} are needed; each `
      + 'signature holds';
    case 'path': return `number ${found.index + 1n} of ${found.count}, by `
      + count(found.path.length, 'hash', 'hashes');
    case 'receipt': return `block ${found.height}, “${found.status}”`;
    case 'state': return found.value === null ? 'nothing under this key' : 'as the header says';
    default: return found;
  }
}

const count = (number, one, many = `${one}s`) => `${number} ${number === 1 ? one : many}`;

function listSeals({ seals }, { validators }) {
  const sealed = new Set(seals.map((seal) => seal.validator));
  const title = make('h3', `${sealed.size} of ${validators.length} validators sealed this block`);
  return [title, ...validators.map((key, at) => {
    const chip = make('span', `${sealed.has(at) ? '✓' : '·'} ${toHex(key).slice(0, 8)}`,
      sealed.has(at) ? 'sealed' : '');
    chip.title = toHex(key);
    return chip;
  })];
}

function listFacts({ header, block }, trust, facts) {
  const time = new Date(Number(header.timeNs / 1000000n));
  const all = [
    ...facts,
    ['Time of the block', Number.isNaN(time.getTime()) ? `${header.timeNs} ns`
      : `${time.toISOString().slice(0, 19).replace('T', ' ')} UTC`],
    ['Block', toHex(block), true],
    ['Chain', toHex(trust.chainId), true],
    ['Checked', hasSubtle() ? 'here, by this browser’s own cryptography'
      : 'here, by this page’s own arithmetic'],
  ];
  return all.flatMap(([name, text, isCode]) => {
    const value = make('dd', isCode ? '' : text);
    if (isCode) value.append(make('code', text));
    return [make('dt', name), value];
  });
}

// Taking what is given.

function give(name, content, note) {
  given[name] = content;
  element(`${name}-note`).textContent = note;
  return check();
}

async function takeFile(name, file) {
  if (file.size > 2 * PROOF_BYTES_MAX) {
    element(`${name}-note`).textContent = `${file.name} is too large for this`;
    return;
  }
  const bytes = new Uint8Array(await file.arrayBuffer());
  const text = name === 'trust' ? new TextDecoder().decode(bytes) : readAsText(bytes);
  element(name).value = text === null ? '' : text;
  await give(name, text === null ? bytes : text, file.name);
}

async function fetchText(path, note) {
  const line = element(note);
  line.textContent = 'asking …';
  try {
    const response = await fetch(path);
    const text = await response.text();
    line.textContent = response.ok ? 'from this node' : parseJson('proof', text).detail;
    return response.ok ? text : null;
  } catch (error) {
    line.textContent = `no answer: ${error.message}`;
    return null;
  }
}

async function fetchProof() {
  const id = element('transaction').value.trim();
  if (!KEY.test(id)) {
    element('proof-note').textContent = 'a transaction has 64 hex digits';
    return;
  }
  const text = await fetchText(`/v1/proof/${id}`, 'proof-note');
  element('proof').value = text || '';
  await give('proof', text || '', element('proof-note').textContent);
}

async function fetchGenesis() {
  const text = await fetchText('/v1/genesis', 'trust-note');
  if (text === null) return;
  element('trust').value = text;
  await give('trust', text, 'from this node: compare the chain id with the published one');
}

function listen() {
  for (const name of ['proof', 'trust']) {
    element(name).addEventListener('input', (event) => give(name, event.target.value, ''));
    element(`${name}-file`).addEventListener('change', (event) => {
      const [file] = event.target.files;
      event.target.value = ''; // so that the same file can be opened again
      return file && takeFile(name, file);
    });
    const card = element(name).closest('.card');
    card.addEventListener('dragover', (event) => {
      event.preventDefault();
      card.classList.add('over');
    });
    card.addEventListener('dragleave', () => card.classList.remove('over'));
    card.addEventListener('drop', (event) => {
      event.preventDefault();
      card.classList.remove('over');
      const [file] = event.dataTransfer.files;
      return file && takeFile(name, file);
    });
  }
  for (const name of ['chain', 'transaction']) element(name).addEventListener('input', check);
  element('fetch').addEventListener('click', fetchProof);
  element('ask').addEventListener('click', fetchGenesis);
}

async function start() {
  ownArithmetic.isWanted = location.hash === '#own';
  const isServed = location.protocol.startsWith('http');
  document.body.classList.toggle('saved', !isServed);
  listen();
  const asked = new URLSearchParams(location.search).get('transaction');
  if (isServed && asked !== null) {
    element('transaction').value = asked;
    await fetchGenesis();
    await fetchProof();
  }
}

start();
