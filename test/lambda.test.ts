/** The sequencer as functions, on the change stream of a real table, with all that Lambda may do to a batch. */
import { readFileSync } from 'node:fs'
import type { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import pino from 'pino'
import { describe, expect, onTestFinished, test } from 'vitest'
import { logAll, positionsOf, range } from '../src/conformance/kit.ts'
import { openStore, type Store } from '../src/core/store.ts'
import { type StreamRecord, sequencerHandler, sweepHandler } from '../src/hosts/lambda.ts'
import { createTable, dynamoSequencer, dynamoStorage } from '../src/storage/dynamodb/storage.ts'
import { type Changes, openChanges } from './engines/changes.ts'
import { missingDynamo, newClient } from './engines/dynamodb.ts'
import { chance } from './long/share.ts'

const missing = missingDynamo()
const logger = pino({ level: 'silent' })
const hourMs = 3_600_000

/** A table of its own, a store on it whose positions come from elsewhere, and the table's changes. */
async function newTable() {
  const client = newClient()
  const table = `t-${crypto.randomUUID()}`
  await createTable({ table, client, boundaryTags: ['seat:'] })
  const storage = await dynamoStorage({ table, client, sequencer: 'elsewhere', pollMs: 20 })
  const store = await openStore({ ...storage, close: async () => {} })
  const changes = await openChanges(client, table)
  onTestFinished(async () => {
    changes.close()
    await store.close()
    await storage.close()
    client.destroy()
  })
  return { table, client, storage, store, changes }
}

async function newHandler(place: { table: string; client: DynamoDBClient; clock?: () => number }) {
  return sequencerHandler(await dynamoSequencer(place), { logger })
}

/** Everything that an append may be: plain, in several streams, with boundary tags, too large for one item, forgotten. */
async function write(store: Store): Promise<number> {
  for (let turn = 0; turn < 30; turn++) {
    await store.append(`seat/${turn % 7}`, [{ type: 'Reserved', data: { turn } }, { type: 'Paid' }])
    await store.append(`seat/${turn % 5}`, [{ type: 'Moved', tags: [`seat:${turn % 3}`, 'vip'] }])
    await store.appendMany([
      { stream: `guest/${turn % 4}`, events: [{ type: 'Came' }] },
      { stream: `seat/${turn % 6}`, events: [{ type: 'Taken', tags: ['seat:1'] }] },
    ])
  }
  const noise = Array.from({ length: 20_000 }, () => crypto.randomUUID()).join('')
  await store.append('large/1', [{ type: 'Drawn', data: noise }])
  await store.forget('guest/0', { reasonCode: 'asked' })
  return 30 * 5 + 1 + 1
}

async function readChanges(changes: Changes): Promise<readonly StreamRecord[]> {
  const all: StreamRecord[] = []
  for (let some = await changes.next(); some.length > 0; some = await changes.next()) all.push(...some)
  return all
}

function batchesOf(records: readonly StreamRecord[], size: number): readonly (readonly StreamRecord[])[] {
  return range(0, Math.ceil(records.length / size) - 1).map((at) => records.slice(at * size, (at + 1) * size))
}

/** Positions are dense, streams in order, and what was committed together stands together. */
async function checkLog(storage: Awaited<ReturnType<typeof newTable>>['storage'], events: number): Promise<void> {
  const log = await logAll(storage)
  expect(positionsOf(log)).toEqual(range(1, events))
  const revisions = new Map<string, number>()
  for (const { stream, revision } of log) {
    expect(revision, stream).toBe((revisions.get(stream) ?? 0) + 1)
    revisions.set(stream, revision)
  }
  const listed = await storage.listStreams({ type: 'seat', limit: 100 })
  expect(listed.streams.map(({ stream, revision }) => [stream, revision]).sort()).toEqual(
    [...revisions].filter(([stream]) => stream.startsWith('seat/')).sort(),
  )
}

describe.skipIf(missing !== undefined)(`the sequencer as a function${missing ? ` (${missing})` : ''}`, () => {
  test('gives every record its position from the stream alone, to readers and to who is subscribed', async () => {
    const { table, client, storage, store, changes } = await newTable()
    const handler = await newHandler({ table, client })
    const following = (async () => {
      const seen: { position?: number }[] = []
      for await (const entry of store.subscribe({ streamTypes: ['large', 'guest'] })) {
        seen.push(entry)
        if (entry.stream === 'large/1') return seen
      }
      return seen
    })()
    const events = await write(store)
    let records = 0
    for (const Records of batchesOf(await readChanges(changes), 40)) {
      records += (await handler({ Records: [...Records] })).records
    }
    await checkLog(storage, events)
    expect((await following).length).toBeGreaterThan(20)
    // An append is one record, a large event another one.
    expect(records).toBe(30 * 4 + 2)
  })

  test('batches may come again, out of order, and two at once', async () => {
    const { table, client, storage, store, changes } = await newTable()
    const handlers = [await newHandler({ table, client }), await newHandler({ table, client })]
    const events = await write(store)
    const random = chance(7)
    const batches = batchesOf(await readChanges(changes), 25)
    const shuffled = [...batches, ...batches].map((Records) => ({ Records, at: random() })).sort((a, b) => a.at - b.at)
    const positioned = await Promise.all(
      handlers.map(async (handler) => {
        let sum = 0
        for (const { Records } of shuffled) {
          const { positioned, swept } = await handler({ Records: Records.toSorted(() => random() - 0.5) })
          sum += positioned + (swept?.positioned ?? 0)
        }
        return sum
      }),
    )
    await checkLog(storage, events)
    expect(positioned.reduce((a, b) => a + b, 0)).toBeLessThanOrEqual(30 * 4 + 2)
  })

  test('a batch that fails is thrown back, and is right when it comes again', async () => {
    const { table, client, storage, store, changes } = await newTable()
    const failing = newClient()
    onTestFinished(() => failing.destroy())
    let fails = true
    failing.middlewareStack.add(
      (next, { commandName }) =>
        (request) => {
          if (fails && commandName === 'TransactWriteItemsCommand') throw new Error('the network is gone')
          return next(request)
        },
      { step: 'initialize' },
    )
    const handler = await newHandler({ table, client: failing })
    await store.append('seat/1', [{ type: 'Reserved' }])
    const Records = await readChanges(changes)
    await expect(handler({ Records })).rejects.toMatchObject({ code: 'storage-failed' })
    fails = false
    expect(await handler({ Records })).toMatchObject({ records: 1, positioned: 1 })
    expect(await handler({ Records })).toMatchObject({ records: 1, positioned: 0 })
    await checkLog(storage, 1)
    expect(await newHandler({ table, client }).then((again) => again({ Records }))).toMatchObject({ positioned: 0 })
  })

  test('far behind, it makes no more than one request for 50 events, beside those for the heads of streams', async () => {
    const { table, client, store, changes } = await newTable()
    const streams = range(1, 40)
    const append = (type: string, revision: number) =>
      Promise.all(streams.map((id) => store.append(`seat/${id}`, [{ type }], { expected: revision })))
    await append('Reserved', 0)
    await sweepHandler(await dynamoSequencer({ table, client }), { logger })()
    await readChanges(changes)
    for (const revision of range(1, 25)) await append('Paid', revision)
    const Records = await readChanges(changes)
    const counted = newClient()
    onTestFinished(() => counted.destroy())
    const handler = await newHandler({ table, client: counted })
    let requests = 0
    counted.middlewareStack.add(
      (next) => (request) => {
        const { Item } = request.input as { Item?: { pk?: { S?: string } } }
        if (!Item?.pk?.S?.startsWith('h#')) requests++
        return next(request)
      },
      { step: 'initialize' },
    )
    expect(await handler({ Records })).toEqual({ records: 1_000, positioned: 1_000 })
    expect(requests).toBeLessThanOrEqual(1_000 / 50)
    expect(await handler({ Records })).toEqual({ records: 1_000, positioned: 0 })
  })

  test('sweeps for what it may have missed: when it was silent for long, and when changes are about to be lost', async () => {
    const { table, client, storage, store, changes } = await newTable()
    let now = Date.now()
    const place = { table, client, clock: () => now }
    const [one, two] = [await newHandler(place), await newHandler(place)]
    const lose = async () => {
      await store.append('seat/1', [{ type: 'Lost' }])
      await readChanges(changes)
    }
    await lose()
    expect(await one({ Records: [] })).toMatchObject({ records: 0, swept: { positioned: 1 } })
    await lose()
    now += 11 * hourMs
    expect(await one({ Records: [] })).toEqual({ records: 0, positioned: 0 })
    now += 13 * hourMs
    const both = await Promise.all([one({ Records: [] }), two({ Records: [] })])
    expect(both.flatMap(({ swept }) => swept?.positioned ?? [])).toEqual([1])
    now += 6 * hourMs
    expect(await two({ Records: [] })).not.toHaveProperty('swept')
    now += 7 * hourMs
    await lose()
    // Somebody was at work seven hours ago, but what comes now has waited for a day.
    await store.append('seat/2', [{ type: 'Late' }])
    const Records = (await readChanges(changes)).map((record) => ({
      ...record,
      dynamodb: { ...record.dynamodb, ApproximateCreationDateTime: (now - 23.5 * hourMs) / 1_000 },
    }))
    expect(await two({ Records })).toMatchObject({ records: 1, positioned: 1, swept: { positioned: 1 } })
    expect(await two({ Records })).toEqual({ records: 1, positioned: 0 })
    await checkLog(storage, 4)
  })

  test('a sweep that broke off is begun again an hour later, and until then holds nothing up', async () => {
    const { table, client, store } = await newTable()
    const failing = newClient()
    onTestFinished(() => failing.destroy())
    let fails = true
    failing.middlewareStack.add(
      (next, { commandName }) =>
        (request) => {
          if (fails && commandName === 'ScanCommand')
            throw Object.assign(new Error('no time left'), { $fault: 'client' })
          return next(request)
        },
      { step: 'initialize' },
    )
    let now = Date.now()
    await store.append('seat/1', [{ type: 'Lost' }])
    const handler = await newHandler({ table, client: failing, clock: () => now })
    await expect(handler({ Records: [] })).rejects.toThrow('sequence dynamodb:')
    fails = false
    now += 0.5 * hourMs
    expect(await handler({ Records: [] })).not.toHaveProperty('swept')
    now += 0.6 * hourMs
    expect(await newHandler({ table, client, clock: () => now }).then((again) => again({ Records: [] }))).toMatchObject(
      {
        swept: { positioned: 1 },
      },
    )
  })

  test('on a schedule the whole table is looked through, and the event does not matter', async () => {
    const { table, client, storage, store } = await newTable()
    const sweep = sweepHandler(await dynamoSequencer({ table, client }), { logger })
    const events = await write(store)
    // Forgetting has given positions to what had to have one before it was emptied.
    expect((await sweep({ source: 'aws.scheduler' })).positioned).toBeGreaterThan(0)
    await checkLog(storage, events)
    expect(await sweep()).toMatchObject({ positioned: 0, items: expect.any(Number) })
  })

  test('events of other sources are refused, and so is a table that is no store', async () => {
    const { table, client } = await newTable()
    const handler = await newHandler({ table, client })
    const records = [{ eventSource: 'aws:sqs', messageId: '1' }]
    await expect(handler({ Records: records })).rejects.toMatchObject({ code: 'invalid-argument', path: 'event' })
    await expect(handler({ detail: 1 } as never)).rejects.toMatchObject({ code: 'invalid-argument' })
    await expect(dynamoSequencer({ table: 'none', client })).rejects.toMatchObject({ code: 'store-missing' })
    const unset = process.env['NO_SUCH_TABLE'] as string
    await expect(dynamoSequencer({ table: unset, client })).rejects.toMatchObject({ code: 'invalid-argument' })
  })

  test('the filter of the guide lets through just what is counted', async () => {
    const { table, client, store, changes } = await newTable()
    const handler = await newHandler({ table, client })
    await write(store)
    const Records = await readChanges(changes)
    const guide = readFileSync(new URL('../docs/guides/dynamodb-lambda.md', import.meta.url), 'utf8')
    const pattern = JSON.parse(/^```js elsewhere\n(\{[\s\S]*?)^```$/m.exec(guide)?.[1] ?? '{}')
    const passed = Records.filter((record) => matches(pattern, record))
    expect(passed.length).toBeLessThan(Records.length)
    expect((await handler({ Records: passed })).records).toBe(passed.length)
    expect((await handler({ Records })).records).toBe(passed.length)
  })
})

/** The rules of event patterns that the guide's one needs: equal to one of a list, or begins so. */
function matches(pattern: unknown, value: unknown): boolean {
  if (Array.isArray(pattern)) {
    return pattern.some((rule) => (rule?.prefix === undefined ? rule === value : String(value).startsWith(rule.prefix)))
  }
  const fields = Object.entries(pattern as object)
  return fields.every(([name, rule]) => matches(rule, (value as Record<string, unknown> | undefined)?.[name]))
}
