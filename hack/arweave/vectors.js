// Prints what Arweave's own client computes, as JSON, for the tests of those who compute it too:
// roots of contents of given lengths, and transactions signed in the ways that signers have.
// Contents are the first bytes of SHAKE-256 of "content".
"use strict";

const crypto = require("crypto");
const fs = require("fs");
const Arweave = require("arweave");
const merkle = require("arweave/node/lib/merkle");

const SALTS = { none: 0, "of the hash's length": 32, "as long as can be": undefined };

function content(length) {
  return crypto.createHash("shake256", { outputLength: length }).update("content").digest();
}

async function root(length) {
  const tree = await merkle.generateTransactionChunks(content(length));
  return Buffer.from(tree.data_root).toString("hex");
}

// The client asks a node for these two where they are not given; a vector needs no node.
const GIVEN = { last_tx: Buffer.alloc(48, 7).toString("base64url"), reward: "12345" };

async function signed(arweave, key, length, name, saltLength, format) {
  const data = content(length);
  const transaction = await arweave.createTransaction({ data, format, ...GIVEN }, key);
  transaction.addTag("Content-Type", "text/csv");
  transaction.addTag("Ångström", "");
  transaction.setOwner(key.n);
  const message = await transaction.getSignatureData();
  const signature = await arweave.crypto.sign(key, message, { saltLength });
  const id = await arweave.crypto.hash(signature);
  transaction.setSignature({
    id: Buffer.from(id).toString("base64url"),
    owner: key.n,
    signature: Buffer.from(signature).toString("base64url"),
  });
  if (!(await arweave.transactions.verify(transaction))) {
    throw new Error(`the client does not verify its own signature, salt: ${name}`);
  }
  const told = transaction.toJSON();
  return { name, length, transaction: format === 1 ? told : { ...told, data: "" } };
}

async function main() {
  const { lengths, length } = JSON.parse(fs.readFileSync(0, "utf8"));
  const arweave = Arweave.init({ host: "127.0.0.1", port: 1, protocol: "http" });
  const roots = [];
  for (const one of lengths) {
    roots.push([one, await root(one)]);
  }
  const transactions = [];
  for (const [name, saltLength] of Object.entries(SALTS)) {
    const key = await arweave.wallets.generate();
    transactions.push(await signed(arweave, key, length, name, saltLength, 2));
  }
  const key = await arweave.wallets.generate();
  const old = await signed(arweave, key, 100, "format 1", undefined, 1);
  process.stdout.write(JSON.stringify({ roots, transactions, old }));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
