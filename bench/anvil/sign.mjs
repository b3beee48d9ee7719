// Signed transfers, one a line: numbers FIRST to FIRST + COUNT of those that SENDERS take turns
// at. `node sign.mjs FOLDER FIRST COUNT SENDERS`; FOLDER has node_modules. See bench/ANVIL.md.
import { createRequire } from "node:module";
import path from "node:path";

const [folder, ...numbers] = process.argv.slice(2);
const [first, count, senders] = numbers.map(Number);
const require = createRequire(path.resolve(folder, "node_modules") + path.sep);
const { HDNodeWallet, Mnemonic, Wallet } = require("ethers");

// anvil's own, whose accounts it endows
const mnemonic = Mnemonic.fromPhrase(
  "test test test test test test test test test test test junk");
const wallets = Array.from({ length: senders }, (_, n) =>
  new Wallet(HDNodeWallet.fromMnemonic(mnemonic, `m/44'/60'/0'/0/${n}`).privateKey));
const lines = [];
for (let n = first; n < first + count; n++) {
  lines.push(await wallets[n % senders].signTransaction({
    type: 0, chainId: 31337, nonce: Math.floor(n / senders), gasLimit: 21000,
    gasPrice: 1000000000, to: "0x00000000000000000000000000000000000000aa", value: 1,
  }));
}
process.stdout.write(lines.join("\n") + "\n");
