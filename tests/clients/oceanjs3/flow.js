// A whole job with ocean.js as it is: publish, order, start, watch, fetch. The last line printed
// is JSON: the job as the client saw it at its end, and its results as text.
//   node flow.js '{"rpc", "addresses", "provider", "publisher", "consumer", "environment",
//                  "dataset", "code", "container"}'

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

async function order(asset, offered, environment) {
  const tokens = new Datatoken(consumer, CHAIN_ID)
  const sent = await tokens.startOrder(
    asset.datatoken, environment.consumerAddress, 0, offered.providerFee
  )
  await sent.wait()
  return sent.hash
}

async function finished(jobId) {
  const end = Date.now() + LIMIT_MS
  for (;;) {
    const told = await ProviderInstance.computeStatus(given.provider, consumer.address, jobId)
    const job = Array.isArray(told) ? told[0] : told
    if (job.dateFinished) return job
    if (Date.now() > end) throw new Error(`the job is still at ${job.status}`)
    await pause(500)
  }
}

async function fetched(job) {
  const results = {}
  for (const [index, file] of job.results.entries()) {
    const url = await ProviderInstance.getComputeResultUrl(
      given.provider, consumer, job.jobId, index
    )
    const answer = await fetch(url)
    if (!answer.ok) throw new Error(`result ${index}: ${answer.status} ${await answer.text()}`)
    results[file.filename] = await answer.text()
  }
  return results
}

async function main() {
  if (!(await ProviderInstance.isValidProvider(given.provider))) throw new Error('no provider')
  const compute = {
    allowRawAlgorithm: false,
    allowNetworkAccess: false,
    publisherTrustedAlgorithms: [
      { did: '*', filesChecksum: '*', containerSectionChecksum: '*' }
    ],
    publisherTrustedAlgorithmPublishers: []
  }
  const dataset = await publish('dataset', given.dataset, { type: 'dataset' }, { compute })
  const algorithm = await publish('algorithm', given.code, {
    type: 'algorithm',
    algorithm: { language: 'sh', version: '1.0.0', container: given.container }
  }, {})
  const environments = await ProviderInstance.getComputeEnvironments(given.provider)
  const environment = environments[CHAIN_ID].find((one) => one.id === given.environment)
  const named = (asset) => ({ documentId: asset.did, serviceId: SERVICE })
  const offered = await ProviderInstance.initializeCompute(
    [named(dataset)], named(algorithm), environment.id,
    Math.floor(Date.now() / 1000) + 600, given.provider, consumer.address
  )
  const orders = [
    await order(dataset, offered.datasets[0], environment),
    await order(algorithm, offered.algorithm, environment)
  ]
  say('ordered both')
  const started = await ProviderInstance.computeStart(
    given.provider, consumer, environment.id,
    { ...named(dataset), transferTxId: orders[0] },
    { ...named(algorithm), transferTxId: orders[1] }
  )
  const { jobId } = Array.isArray(started) ? started[0] : started
  say(`started ${jobId}`)
  const job = await finished(jobId)
  console.log(JSON.stringify({ job, results: await fetched(job) }))
}

main().catch((error) => {
  console.error(error)
  process.exitCode = 1
})
