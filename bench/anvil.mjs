// Final transfers per second of `anvil`, all signed ahead: see bench/ANVIL.md.
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { performance } from "node:perf_hooks";
import path from "node:path";

const [folder, count = "20000", senders = "50"] = process.argv.slice(2);
const require = createRequire(path.resolve(folder, "node_modules") + path.sep);
const { Wallet, HDNodeWallet, Mnemonic } = require("ethers");

const PORT = 28545, BATCH = 200, LANES = 4, CHAIN = 31337;
const PHRASE = "test test test test test test test test test test test junk";
const binary = require.resolve("@foundry-rs/anvil-linux-amd64/bin/anvil");
const node = spawn(binary, [
  "--port", PORT, "--block-time", "1", "--silent", "--accounts", senders,
  "--gas-limit", "1000000000", "--base-fee", "0", "--no-request-size-limit",
], { stdio: "ignore" });

async function call(body) {
  const answer = await fetch(`http://127.0.0.1:${PORT}`, {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
  });
  return answer.json();
}

const ask = async (method, ...params) =>
  (await call({ jsonrpc: "2.0", id: 1, method, params })).result;

try {
  const mnemonic = Mnemonic.fromPhrase(PHRASE);
  const wallets = Array.from({ length: +senders }, (_, n) =>
    new Wallet(HDNodeWallet.fromMnemonic(mnemonic, `m/44'/60'/0'/0/${n}`).privateKey));
  const signed = [];
  for (let n = 0; n < +count; n++) {
    signed.push(await wallets[n % wallets.length].signTransaction({
      type: 0, chainId: CHAIN, nonce: Math.floor(n / wallets.length), gasLimit: 21000,
      gasPrice: 1000000000, to: "0x00000000000000000000000000000000000000aa", value: 1,
    }));
  }
  for (let tries = 0; ; tries++) {
    try { await ask("eth_blockNumber"); break; } catch (error) {
      if (tries > 100) throw error;
      await new Promise((done) => setTimeout(done, 100));
    }
  }
  const first = parseInt(await ask("eth_blockNumber"), 16);
  const began = performance.now();
  let next = 0;
  const lane = async () => {
    while (next < signed.length) {
      const batch = signed.slice(next, next += BATCH);
      const answers = await call(batch.map((raw, id) =>
        ({ jsonrpc: "2.0", id, method: "eth_sendRawTransaction", params: [raw] })));
      const bad = answers.find((answer) => answer.error);
      if (bad) throw new Error(JSON.stringify(bad));
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  const handed = (performance.now() - began) / 1000;
  for (let done = 0, height = first; done < signed.length;) {
    const block = await ask("eth_getBlockByNumber", `0x${(height + 1).toString(16)}`, false);
    if (!block) { await new Promise((wait) => setTimeout(wait, 50)); continue; }
    done += block.transactions.length;
    height += 1;
  }
  const spent = (performance.now() - began) / 1000;
  console.log(`${signed.length} transfers: handed in after ${handed.toFixed(2)} s, all in `
    + `blocks after ${spent.toFixed(2)} s: ${(signed.length / spent).toFixed(0)} a second`);
} finally {
  node.kill();
}
