'use strict'
// What a user does with kafkajs.

const fs = require('fs')
const path = require('path')
const crypto = require('crypto')
const { createRequire } = require('module')

// The libraries are installed beside their own package.json, in the cache.
const need = createRequire(path.join(process.env.CLIENT_MODULES, 'package.json'))
const { Kafka, CompressionTypes, CompressionCodecs, ConfigResourceTypes, logLevel, Partitioners } = need('kafkajs')
const zstd = need('@bokuweb/zstd-wasm')
const lz4 = need('lz4js')

const zlibCRC = (() => {
  const table = new Uint32Array(256).map((_, n) => {
    for (let k = 0; k < 8; k++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1
    return n
  })
  return (buffers) => {
    let crc = 0xffffffff
    for (const b of buffers) for (const x of b) crc = table[(crc ^ x) & 0xff] ^ (crc >>> 8)
    return (crc ^ 0xffffffff) >>> 0
  }
})()

CompressionCodecs[CompressionTypes.Snappy] = need('kafkajs-snappy')
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: async (encoder) => Buffer.from(lz4.compress(encoder.buffer)),
  decompress: async (buffer) => Buffer.from(lz4.decompress(buffer)),
})
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async (encoder) => Buffer.from(zstd.compress(encoder.buffer, 3)),
  decompress: async (buffer) => Buffer.from(zstd.decompress(buffer)),
})

const env = process.env
const START = Date.now() - 3600000
const LIMIT = 3000000
const N = 300
const topic = (name) => env.CLIENT_PREFIX + '-' + name
let failures = 0

function must(condition, ...what) {
  if (!condition) throw new Error(what.map((w) => (typeof w === 'object' ? JSON.stringify(w) : String(w))).join(' '))
}

async function check(name, body) {
  try {
    await body()
    console.log('ok ' + name)
  } catch (e) {
    failures++
    console.log('FAIL ' + name + ': ' + String(e.message).replace(/\n/g, ' '))
    console.error(e)
  }
}

async function fails(type, promise) {
  try {
    await promise
  } catch (e) {
    const types = []
    for (let c = e; c; c = c.cause) types.push(c.type, ...(c.errors || []).map((x) => x.type))
    must(types.includes(type), 'want', type, 'got', types, e.message)
    return
  }
  throw new Error('want ' + type + ', got no error')
}

class Sum {
  constructor() {
    this.count = 0
    this.total = 0
  }

  add(m) {
    const parts = []
    const part = (b) => parts.push(...(b === null || b === undefined ? [Buffer.from([0])] : [Buffer.from([1]), Buffer.from(b)]), Buffer.from('\n'))
    part(m.key)
    part(m.value)
    for (const [name, value] of Object.entries(m.headers || {})) {
      part(name)
      part(value)
    }
    this.count++
    this.total += zlibCRC(parts)
  }

  print(name) {
    console.log('sum ' + name + ' ' + this.count + ' ' + this.total)
  }

  same(other) {
    return this.count === other.count && this.total === other.total
  }
}

const config = {
  clientId: 'kafkajs', brokers: [env.CLIENT_BOOTSTRAP], logLevel: logLevel.NOTHING, requestTimeout: 30000,
  retry: { initialRetryTime: 50, retries: 8 },
}
if (env.CLIENT_SECURITY === 'sasl_ssl') {
  config.ssl = { ca: [fs.readFileSync(env.CLIENT_CA)], servername: 'localhost' }
  config.sasl = { mechanism: env.CLIENT_MECHANISM.toLowerCase(), username: env.CLIENT_USER, password: env.CLIENT_PASSWORD }
}
const kafka = new Kafka(config)
const admin = kafka.admin()
const newProducer = (more) => kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner, ...more })
const createTopic = (name, partitions, entries) =>
  admin.createTopics({ topics: [{ topic: name, numPartitions: partitions, configEntries: Object.entries(entries || {}).map(([n, v]) => ({ name: n, value: v })) }], waitForLeaders: true })

function record(i) {
  const headers = i % 2 === 0 ? { n: Buffer.from(String(i)), 'ümlaut': Buffer.from('€') } : {}
  return {
    key: i % 7 === 0 ? null : Buffer.from('key-' + (i % 50)),
    value: i % 11 === 0 ? null : i % 13 === 0 ? Buffer.alloc(0) : Buffer.from('value ' + i + ' ' + 'x'.repeat(i % 100)),
    headers, timestamp: String(START + i * 1000), partition: i % 3,
  }
}

// Runs a consumer of a group until done() is true, then stops it. each gets every message.
async function consume({ joined, ...options }, name, each, done, body) {
  const c = kafka.consumer({ sessionTimeout: 15000, maxWaitTimeInMs: 200, ...options })
  await c.connect()
  try {
    await c.subscribe({ topic: name, fromBeginning: true })
    const errors = []
    c.on(c.events.CRASH, (e) => errors.push(e.payload.error))
    if (joined) c.on(c.events.GROUP_JOIN, (e) => joined(e.payload.memberAssignment))
    await c.run({ autoCommit: false, ...(body || { eachMessage: (m) => each(m, c) }) })
    const deadline = Date.now() + 120000
    while (!done(c)) {
      must(errors.length === 0, errors.map((e) => e.message))
      must(Date.now() < deadline, 'not read in time from ' + name)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    await c.stop()
  } finally {
    await c.disconnect()
  }
}

let readers = 0

// Reads a topic to its end of now, in a group of its own, since kafkajs has no other way.
async function readAll(name, more) {
  const sum = new Sum()
  const ends = {}
  for (const o of await admin.fetchTopicOffsets(name)) {
    if (o.low !== o.high) ends[o.partition] = BigInt(o.high)
  }
  if (Object.keys(ends).length === 0) return sum
  const group = topic('reader-' + readers++)
  await consume({ groupId: group, ...more }, name, null, () => Object.keys(ends).length === 0, {
    eachBatchAutoResolve: true,
    eachBatch: async ({ batch, heartbeat }) => {
      for (const m of batch.messages) if (BigInt(m.offset) < (ends[batch.partition] || 0n)) sum.add(m)
      if (BigInt(batch.lastOffset()) + 1n >= (ends[batch.partition] || 0n)) delete ends[batch.partition]
      await heartbeat()
    },
  })
  return sum
}

async function create() {
  const name = topic('create')
  await createTopic(name, 3, { 'retention.ms': '86400000' })
  must((await admin.createTopics({ topics: [{ topic: name, numPartitions: 3 }] })) === false, 'created twice')
  const d = (await admin.fetchTopicMetadata({ topics: [name] })).topics[0]
  must(d.partitions.length === 3 && d.partitions[0].leader >= 0, d)
  must((await admin.listTopics()).includes(name), 'not listed')
  must((await admin.describeCluster()).brokers.length === 1, 'brokers')
}

async function produce(codec, type) {
  const name = topic(codec)
  await createTopic(name, 3)
  const p = newProducer({ idempotent: true })
  await p.connect()
  const sent = new Sum()
  for (let first = 0; first < N; first += 50) {
    const messages = []
    for (let i = first; i < first + 50; i++) messages.push(record(i))
    messages.forEach((m) => sent.add(m))
    await p.send({ topic: name, acks: -1, compression: type, messages })
  }
  await p.disconnect()
  const got = await readAll(name)
  must(got.same(sent), 'sent', sent, 'read', got)
  got.print(name)
}

async function fill(name, partitions, first, last) {
  const p = newProducer()
  await p.connect()
  const messages = []
  for (let i = first; i < last; i++) messages.push({ key: 'k' + i, value: 'v' + i, partition: i % partitions, timestamp: String(START + i * 1000) })
  await p.send({ topic: name, messages })
  await p.disconnect()
}

async function group() {
  const name = topic('group')
  const g = topic('g')
  await createTopic(name, 4)
  await fill(name, 4, 0, 400)
  const seen = new Set()
  const each = async ({ partition, message, topic: t }, c) => {
    const key = message.key.toString()
    if (seen.size >= 150 && first) return
    must(!seen.has(key), 'a record twice')
    seen.add(key)
    await c.commitOffsets([{ topic: t, partition, offset: String(BigInt(message.offset) + 1n) }])
  }
  let first = true
  await consume({ groupId: g }, name, each, () => seen.size >= 150)
  first = false
  await fill(name, 4, 400, 500)
  const assigned = {}
  let finished = false // for good: who leaves first hands its partitions to the other
  const member = (id) =>
    consume({ groupId: g, joined: (a) => (assigned[id] = a[name] || []) }, name, each, () => {
      finished = finished || (described && seen.size === 500 && ['a', 'b'].every((x) => assigned[x] && assigned[x].length === 2))
      return finished
    })
  let described = false
  const members = Promise.all([member('a'), member('b')])
  const deadline = Date.now() + 120000
  while (!described) {
    const d = await admin.describeGroups([g])
    described = d.groups[0].members.length === 2 && d.groups[0].state === 'Stable'
    must(described || Date.now() < deadline, d)
  }
  await members
  const offsets = await admin.fetchOffsets({ groupId: g, topics: [name] })
  must(offsets[0].partitions.reduce((n, p) => n + Number(p.offset), 0) === 500, offsets)
}

async function time() {
  const name = topic('time')
  await createTopic(name, 1)
  await fill(name, 1, 0, 100)
  const found = await admin.fetchTopicOffsetsByTimestamp(name, START + 41500)
  must(found[0].offset === '42', found)
  must((await admin.fetchTopicOffsetsByTimestamp(name, START + 10000000))[0].offset === '100', 'after the last') // kafkajs answers with the end
  const g = topic('time-group')
  await admin.setOffsets({ groupId: g, topic: name, partitions: [{ partition: 0, offset: found[0].offset }] })
  let value
  await consume({ groupId: g }, name, async ({ message }) => (value = value || message.value.toString()), () => value !== undefined)
  must(value === 'v42', value)
}

async function configs() {
  const name = topic('create')
  await admin.alterConfigs({
    validateOnly: false,
    resources: [{ type: ConfigResourceTypes.TOPIC, name, configEntries: [{ name: 'segment.bytes', value: '16777216' }, { name: 'cleanup.policy', value: 'compact' }] }],
  })
  const d = await admin.describeConfigs({ includeSynonyms: true, resources: [{ type: ConfigResourceTypes.TOPIC, name }] })
  const found = Object.fromEntries(d.resources[0].configEntries.map((e) => [e.configName, e.configValue]))
  must(found['segment.bytes'] === '16777216' && found['cleanup.policy'] === 'compact' && found['retention.ms'] === '604800000', found)
}

async function groups() {
  const name = topic('group')
  const g = topic('g')
  must((await admin.listGroups()).groups.some((x) => x.groupId === g), 'not listed')
  await admin.setOffsets({ groupId: g, topic: name, partitions: [{ partition: 0, offset: '7' }] })
  const o = await admin.fetchOffsets({ groupId: g, topics: [name] })
  must(o[0].partitions.find((p) => p.partition === 0).offset === '7', o)
  await admin.resetOffsets({ groupId: g, topic: name, earliest: true })
  await admin.deleteGroups([g])
  must(!(await admin.listGroups()).groups.some((x) => x.groupId === g), 'still listed')
}

async function records() {
  const name = topic('time')
  await admin.deleteTopicRecords({ topic: name, partitions: [{ partition: 0, offset: '30' }] })
  must((await readAll(name)).count === 70, 'records')
}

async function topics() {
  const name = topic('create')
  await admin.createPartitions({ topicPartitions: [{ topic: name, count: 5 }] })
  must((await admin.fetchTopicMetadata({ topics: [name] })).topics[0].partitions.length === 5, 'partitions')
  await admin.deleteTopics({ topics: [name] })
  must(!(await admin.listTopics()).includes(name), 'still listed')
}

async function transactions() {
  const source = topic('group')
  const name = topic('txn')
  await createTopic(name, 3)
  const p = newProducer({ transactionalId: topic('tx'), idempotent: true, maxInFlightRequests: 1 })
  await p.connect()
  const committed = new Sum()
  for (let round = 0; round < 6; round++) {
    const txn = await p.transaction()
    const messages = []
    for (let i = 0; i < 50; i++) messages.push(record(round * 50 + i))
    await txn.send({ topic: name, messages })
    if (round % 2 === 0) {
      messages.forEach((m) => committed.add(m))
      await txn.commit()
    } else {
      await txn.abort()
    }
  }
  await p.disconnect()
  const got = await readCommitted(name, 150)
  must(got.same(committed), 'want', committed, 'read', got)
  got.print(name)

  const out = topic('copied')
  const g = topic('copier')
  await createTopic(out, 4)
  const q = newProducer({ transactionalId: g, idempotent: true, maxInFlightRequests: 1 })
  await q.connect()
  let copied = 0
  let round = 0
  await consume({ groupId: g, readUncommitted: false }, source, null, () => copied === 500, {
    eachBatchAutoResolve: false,
    eachBatch: async ({ batch, heartbeat, resolveOffset }) => {
      for (let at = 0; at < batch.messages.length; at += 60) {
        const part = batch.messages.slice(at, at + 60)
        const last = part[part.length - 1].offset
        for (let again = round++ % 3 === 1 ? 2 : 1; again > 0; again--) {
          const txn = await q.transaction()
          await txn.send({ topic: out, messages: part.map((m) => ({ key: m.key, value: m.value, partition: batch.partition })) })
          await txn.sendOffsets({ consumerGroupId: g, topics: [{ topic: source, partitions: [{ partition: batch.partition, offset: String(BigInt(last) + 1n) }] }] })
          await (again > 1 ? txn.abort() : txn.commit())
        }
        copied += part.length
        resolveOffset(last)
        await heartbeat()
      }
    },
  })
  await q.disconnect()
  const a = await readAll(source)
  const b = await readCommitted(out, 500)
  must(a.same(b), 'in', a, 'out', b)
  b.print(out)
  const offsets = await admin.fetchOffsets({ groupId: g, topics: [source] })
  must(offsets[0].partitions.reduce((n, x) => n + Number(x.offset), 0) === 500, offsets)
}

// Reads as many committed records as there have to be, and then for a while longer whether there are more.
async function readCommitted(name, count) {
  const sum = new Sum()
  let quiet = 0
  await consume({ groupId: topic('reader-' + readers++), readUncommitted: false }, name, async ({ message }) => sum.add(message), () => sum.count >= count && ++quiet > 50)
  return sum
}

async function fencing() {
  const name = topic('txn')
  const make = () => newProducer({ transactionalId: topic('fence'), idempotent: true, maxInFlightRequests: 1, retry: { retries: 3 } })
  const zombie = make()
  const next = make()
  await zombie.connect()
  const txn = await zombie.transaction()
  await txn.send({ topic: name, messages: [record(1)] })
  await next.connect()
  const other = await next.transaction()
  await fails('INVALID_PRODUCER_EPOCH', (async () => {
    await txn.send({ topic: name, messages: [record(2)] })
    await txn.commit()
  })())
  await other.abort()
  await next.disconnect()
  await zombie.disconnect()
}

async function large() {
  const name = topic('large')
  await createTopic(name, 3, { 'max.message.bytes': String(LIMIT) })
  const p = newProducer({ idempotent: false })
  await p.connect()
  const value = crypto.randomBytes(LIMIT - 1000)
  for (let i = 0; i < 3; i++) await p.send({ topic: name, messages: [{ key: 'large', value, partition: i }] })
  await fails('MESSAGE_TOO_LARGE', p.send({ topic: name, messages: [{ key: 'large', value: crypto.randomBytes(LIMIT + 1000), partition: 0 }] }))
  await p.send({ topic: name, messages: [{ key: 'after', value: 'small', partition: 0 }] })
  await p.disconnect()
  const sum = await readAll(name, { maxBytesPerPartition: 1000, maxBytes: 1000 })
  must(sum.count === 4, sum)
  sum.print(name)
}

async function main() {
  await zstd.init()
  await admin.connect()
  await check('create', create)
  await check('produce-none', () => produce('none', CompressionTypes.None))
  await check('produce-gzip', () => produce('gzip', CompressionTypes.GZIP))
  await check('produce-snappy', () => produce('snappy', CompressionTypes.Snappy))
  await check('produce-lz4', () => produce('lz4', CompressionTypes.LZ4))
  await check('produce-zstd', () => produce('zstd', CompressionTypes.ZSTD))
  await check('reference', async () => (await readAll(env.CLIENT_REFERENCE)).print(env.CLIENT_REFERENCE))
  await check('group', group)
  await check('time', time)
  await check('admin-configs', configs)
  await check('admin-groups', groups)
  await check('admin-records', records)
  await check('admin-topics', topics)
  await check('transactions', transactions)
  await check('fencing', fencing)
  await check('large', large)
  await admin.disconnect()
  process.exit(failures ? 1 : 0)
}

main().catch((e) => {
  console.error(e)
  process.exit(1)
})
