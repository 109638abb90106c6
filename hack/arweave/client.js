// What tests ask of Arweave's client: store contents in transactions, verify one of them.
// Reads one JSON object from its input, prints its answer as JSON.
"use strict";

const fs = require("fs");
const Arweave = require("arweave");

const ENOUGH = "1000000000000000";
const OK = 200;

function checked(response) {
  if (response.status !== OK) {
    throw new Error(`the node answered ${response.status}: ${JSON.stringify(response.data)}`);
  }
  return response.data;
}

async function store(arweave, { contents }) {
  const key = await arweave.wallets.generate();
  const address = await arweave.wallets.jwkToAddress(key);
  checked(await arweave.api.get(`mint/${address}/${ENOUGH}`));
  const ids = [];
  for (const content of contents) {
    const data = Buffer.from(content.data, "base64");
    const transaction = await arweave.createTransaction({ data }, key);
    transaction.addTag("Content-Type", content.type);
    await arweave.transactions.sign(transaction, key);
    checked(await arweave.transactions.post(transaction));
    ids.push(transaction.id);
  }
  checked(await arweave.api.get("mine"));
  return ids;
}

async function verify(arweave, { id, data }) {
  const transaction = arweave.transactions.fromRaw(checked(await arweave.api.get(`tx/${id}`)));
  const isSigned = await arweave.transactions.verify(transaction);
  const root = transaction.data_root;
  transaction.chunks = undefined;
  await transaction.prepareChunks(Buffer.from(data, "base64"));
  return isSigned && transaction.id === id && transaction.data_root === root;
}

async function main() {
  const { task, node, ...asked } = JSON.parse(fs.readFileSync(0, "utf8"));
  const { hostname, port } = new URL(node);
  const arweave = Arweave.init({ host: hostname, port, protocol: "http" });
  const answer = await { store, verify }[task](arweave, asked);
  process.stdout.write(JSON.stringify(answer));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
