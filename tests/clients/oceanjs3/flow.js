// Whole flows with ocean.js as it is: publish, order, start, watch, fetch. The last line printed is
// JSON: what the client saw, by flow.
//   node flow.js '{"rpc", "addresses", "provider", "publisher", "consumer", "environment", "paid",
//                  "datasets", "code", "container"}'

const { readFileSync } = require('node:fs')
const { setTimeout: pause } = require('node:timers/promises')
const { ethers } = require('ethers')
const {
  Aquarius,
  Datatoken,
  Nft,
  NftFactory,
  ProviderInstance,
  ZERO_ADDRESS,
  getEventFromTx
} = require('@oceanprotocol/lib')
const { createHash } = require('node:crypto')

const CHAIN_ID = 8996
const SERVICE = 'compute-service'
const LIMIT_MS = 180_000
const RUNNING = 40

const given = JSON.parse(process.argv[2])
const addresses = JSON.parse(readFileSync(given.addresses, 'utf8')).development
const chain = new ethers.providers.JsonRpcProvider(given.rpc)
const publisher = new ethers.Wallet(given.publisher, chain)
const consumer = new ethers.Wallet(given.consumer, chain)
const aquarius = new Aquarius(given.provider)

function say(text) {
  console.error(text)
}

async function publish(name, url, metadata, service) {
  const factory = new NftFactory(addresses.ERC721Factory, publisher, CHAIN_ID)
  const owner = publisher.address
  const created = await factory.createNftWithDatatoken(
    { name, symbol: 'NFT', templateIndex: 1, tokenURI: 'x', transferable: true, owner },
    {
      templateIndex: 1,
      cap: '1000',
      feeAmount: '0',
      paymentCollector: ZERO_ADDRESS,
      feeToken: ZERO_ADDRESS,
      minter: owner,
      mpFeeAddress: ZERO_ADDRESS
    }
  )
  const receipt = await created.wait()
  const nftAddress = getEventFromTx(receipt, 'NFTCreated').args.newTokenAddress
  const datatokenAddress = getEventFromTx(receipt, 'TokenCreated').args.newTokenAddress
  const digest = createHash('sha256').update(`${nftAddress}${CHAIN_ID}`).digest('hex')
  const files = { nftAddress, datatokenAddress, files: [{ type: 'url', url, method: 'GET' }] }
  const now = new Date().toISOString()
  const ddo = {
    '@context': ['https://w3id.org/did/v1'],
    id: `did:op:${digest}`,
    version: '4.1.0',
    chainId: CHAIN_ID,
    nftAddress,
    metadata: {
      created: now,
      updated: now,
      name,
      description: name,
      author: 'tests',
      license: 'MIT',
      tags: ['tests'],
      ...metadata
    },
    services: [
      {
        id: SERVICE,
        type: 'compute',
        files: await ProviderInstance.encrypt(files, CHAIN_ID, given.provider),
        datatokenAddress,
        serviceEndpoint: given.provider,
        timeout: 3600,
        ...service
      }
    ]
  }
  const encrypted = await ProviderInstance.encrypt(ddo, CHAIN_ID, given.provider)
  const valid = await aquarius.validate(ddo)
  if (!valid.valid) throw new Error(`the DDO was not found valid: ${JSON.stringify(valid)}`)
  const nft = new Nft(publisher, CHAIN_ID)
  const proofs = [valid.proof]
  const set = await nft.setMetadata(
    nftAddress, owner, 0, given.provider, '', '0x02', encrypted, valid.hash, proofs
  )
  await set.wait()
  const found = await aquarius.waitForIndexer(ddo.id, set.hash)
  if (found.id !== ddo.id) throw new Error('another asset was found')
  const minted = await new Datatoken(publisher, CHAIN_ID).mint(
    datatokenAddress, owner, '5', consumer.address
  )
  await minted.wait()
  say(`published ${name}: ${ddo.id}`)
  return { did: ddo.id, datatoken: datatokenAddress }
}

// Asks for the terms of a job and pays them, or takes the orders that are still good.
async function buy(datasets, algorithm, environment, former = []) {
  const assets = datasets.map((asset, index) => named(asset, former[index]))
  const code = algorithm.did ? named(algorithm, former[datasets.length]) : algorithm
  const offered = await ProviderInstance.initializeCompute(
    assets, code, environment.id, Math.floor(Date.now() / 1000) + 600, given.provider,
    consumer.address
  )
  const paid = []
  for (const [index, item] of offered.datasets.entries()) {
    paid.push(await order(datasets[index], item, environment))
  }
  if (algorithm.did) paid.push(await order(algorithm, offered.algorithm, environment))
  return paid
}

async function order(asset, offered, environment) {
  const tokens = new Datatoken(consumer, CHAIN_ID)
  const { validOrder, providerFee } = offered
  if (validOrder && !providerFee) return validOrder
  if (providerFee.providerFeeAmount !== '0') {
    const ocean = providerFee.providerFeeToken
    const allowed = await tokens.approve(ocean, asset.datatoken, '100')
    await allowed.wait()
  }
  const sent = validOrder
    ? await tokens.reuseOrder(asset.datatoken, validOrder, providerFee)
    : await tokens.startOrder(asset.datatoken, environment.consumerAddress, 0, providerFee)
  await sent.wait()
  return sent.hash
}

function named(asset, transferTxId) {
  const name = { documentId: asset.did, serviceId: SERVICE }
  return transferTxId ? { ...name, transferTxId } : name
}

// Starts a job; null where the provider refuses.
async function start(datasets, algorithm, orders, environment) {
  const [first, ...others] = datasets.map((asset, index) => named(asset, orders[index]))
  const code = algorithm.did ? named(algorithm, orders[datasets.length]) : algorithm
  const started = await ProviderInstance.computeStart(
    given.provider, consumer, environment.id, first, code, undefined, others
  )
  const job = Array.isArray(started) ? started[0] : started
  if (job) say(`started ${job.jobId}`)
  return job && job.jobId
}

async function told(jobId, wanted) {
  const end = Date.now() + LIMIT_MS
  for (;;) {
    const answer = await ProviderInstance.computeStatus(given.provider, consumer.address, jobId)
    const job = Array.isArray(answer) ? answer[0] : answer
    if (wanted(job)) return job
    if (Date.now() > end) throw new Error(`the job is still at ${job.status}`)
    await pause(500)
  }
}

async function ended(jobId) {
  const job = await told(jobId, (job) => job.dateFinished)
  const results = {}
  for (const [index, file] of [...job.results].entries()) {
    const url = await ProviderInstance.getComputeResultUrl(
      given.provider, consumer, job.jobId, index
    )
    const answer = await fetch(url)
    if (!answer.ok) throw new Error(`result ${index}: ${answer.status} ${await answer.text()}`)
    results[file.filename] = await answer.text()
  }
  return { status: job.status, text: job.statusText, results }
}

async function refused(call) {
  try {
    const answer = await call()
    if (answer === null) return null
  } catch (error) {
    return error.message
  }
  throw new Error('it was not refused')
}

async function stopped(dataset, orders, environment) {
  const sleeping = raw('echo begun; sleep 600')
  const job = await start([dataset], sleeping, orders, environment)
  await told(job, (job) => job.status >= RUNNING)
  await ProviderInstance.computeStop(
    dataset.did, consumer.address, job, given.provider, consumer
  )
  return ended(job)
}

function raw(rawcode) {
  const meta = { rawcode, language: 'sh', version: '0.1', container: given.container }
  return { documentId: '', serviceId: '', meta }
}

async function main() {
  if (!(await ProviderInstance.isValidProvider(given.provider))) throw new Error('no provider')
  const compute = {
    allowRawAlgorithm: true,
    allowNetworkAccess: false,
    publisherTrustedAlgorithms: [
      { did: '*', filesChecksum: '*', containerSectionChecksum: '*' }
    ],
    publisherTrustedAlgorithmPublishers: []
  }
  const [one, two] = [
    await publish('dataset', given.datasets[0], { type: 'dataset' }, { compute }),
    await publish('dataset', given.datasets[1], { type: 'dataset' }, { compute })
  ]
  const nobody = { ...compute, allowRawAlgorithm: false, publisherTrustedAlgorithms: [] }
  const closed = await publish(
    'closed', given.datasets[0], { type: 'dataset' }, { compute: nobody }
  )
  const algorithm = await publish('algorithm', given.code, {
    type: 'algorithm',
    algorithm: { language: 'sh', version: '1.0.0', container: given.container }
  }, {})
  const offered = (await ProviderInstance.getComputeEnvironments(given.provider))[CHAIN_ID]
  const free = offered.find((one) => one.id === given.environment)
  const paid = offered.find((one) => one.id === given.paid)
  const seen = { priced: paid.priceMin > 0 && free.priceMin === 0 }

  const orders = await buy([one], algorithm, free)
  seen.free = await ended(await start([one], algorithm, orders, free))
  const again = await buy([one], algorithm, free, orders)
  seen.ordered_anew = JSON.stringify(again) !== JSON.stringify(orders)
  seen.reused = await ended(await start([one], algorithm, again, free))
  const both = await buy([one, two], algorithm, free)
  seen.two_datasets = await ended(await start([one, two], algorithm, both, free))
  const code = raw('echo raw > "$OUTPUTS/raw.txt"')
  const bought = await buy([one], code, free)
  seen.raw = await ended(await start([one], code, bought, free))
  seen.stopped = await stopped(one, bought, free)

  const fees = await buy([one], algorithm, paid)
  seen.paid = await ended(await start([one], algorithm, fees, paid))
  seen.paid_twice = await refused(() => start([one], algorithm, fees, paid))
  const anew = await buy([one], algorithm, paid, fees)
  seen.paid_again = await ended(await start([one], algorithm, anew, paid))
  seen.stolen = await refused(() => start([closed], algorithm, orders, free))
  seen.not_trusted = await refused(() => buy([closed], algorithm, free))
  console.log(JSON.stringify(seen))
}

main().catch((error) => {
  console.error(error)
  process.exitCode = 1
})
