/** Each role of `docs/guides/dynamodb.md` asks the engine for what its policy allows, all of that, and nothing else. */
import { readFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { missingDynamo } from '../../../test/engines/dynamodb.ts'
import { newWire, type Request, type Wire } from '../../../test/engines/wire.ts'
import { append, commit, event, is, logAll, readAll } from '../../conformance/kit.ts'
import type { DocumentWrite, Storage } from '../../core/storage.ts'
import { openStore } from '../../core/store.ts'
import { loadSdk, openTable, put } from './driver.ts'
import { type WriterItem, writerKey } from './items.ts'
import { createTable, dynamoSequencer, dynamoStorage } from './storage.ts'

const missing = missingDynamo()
const boundaryTags = ['seat:']

interface Statement {
  readonly Sid: string
  readonly Action: readonly string[] | string
  readonly Resource: string
}

/** `PutItem`, `Query updated`, by the Sids of the guide's policies; change streams are Lambda's to read. */
function policyOf(role: string): ReadonlySet<string> {
  const guide = readFileSync(new URL('../../../docs/guides/dynamodb.md', import.meta.url), 'utf8')
  const blocks = [...guide.matchAll(/^```json policy\n([\s\S]*?)^```$/gm)].map(([, text = '']) => JSON.parse(text))
  const statements: readonly Statement[] = blocks.flatMap((policy) => policy.Statement)
  const mine = statements.filter(({ Sid, Resource }) => Sid.startsWith(role) && !Resource.includes('/stream/'))
  expect(mine.length, role).toBeGreaterThan(0)
  return new Set(
    mine.flatMap(({ Action, Resource }) =>
      [Action].flat().map((action) => {
        const [, index] = /^arn:aws:dynamodb:[\w-]+:\d+:table\/shop(?:\/index\/(\w+))?$/.exec(Resource) ?? []
        return `${action.replace('dynamodb:', '')}${index === undefined ? '' : ` ${index}`}`
      }),
    ),
  )
}

/** What a request wants to be allowed: a transaction wants what is in it. */
function actionsOf({ action, input }: Request): readonly string[] {
  if (action !== 'TransactWriteItems') return [input['IndexName'] ? `${action} ${input['IndexName']}` : action]
  const names: Readonly<Record<string, string>> = { ConditionCheck: 'ConditionCheckItem' }
  const items = input['TransactItems'] as readonly object[]
  return items.flatMap((item) => Object.keys(item).map((name) => names[name] ?? `${name}Item`))
}

const document = (kind: 'put' | 'check' | 'delete', key: string): DocumentWrite => {
  const common = { key: { collection: 'views', key }, if: { is: 'anything' } } as const
  if (kind !== 'put') return { kind, ...common, if: kind === 'check' ? { is: 'absent' } : common.if }
  return { kind, ...common, body: '{}', index: [{ index: 'colour', equals: 'red', order: '' }] }
}

describe.skipIf(missing !== undefined)(`policies on DynamoDB${missing ? ` (${missing})` : ''}`, () => {
  let wire: Wire
  let table: string
  beforeEach(() => {
    wire = newWire()
    table = `policies-${crypto.randomUUID()}`
    return () => wire.client.destroy()
  })
  afterEach(() => {
    vi.useRealTimers()
  })
  const place = () => ({ table, client: wire.client })
  const asked = () => new Set(wire.take().flatMap(actionsOf))

  async function newTable(): Promise<void> {
    await createTable({ ...place(), boundaryTags })
    wire.take()
  }

  async function write(storage: Storage): Promise<void> {
    const store = await openStore({ ...storage, close: async () => {} })
    await store.append('order/1', [{ type: 'Placed' }], { expected: 0 })
    await store.append('order/1', [{ type: 'Paid' }])
    const query = [{ tags: ['seat:1'] }]
    const { condition } = await store.readBoundary(query)
    await store.append('order/2', [{ type: 'Placed' }], { condition })
    await store.append('order/2', [{ type: 'Seated', tags: ['seat:1'] }])
    await store.forget('order/2', { reasonCode: 'asked' })
    await store.close()
    is(
      await commit(storage, [append('order/3', 0, event('Placed'))], { documents: [document('put', 'a')] }),
      'committed',
    )
    is(await commit(storage, [], { documents: [document('check', 'b'), document('delete', 'a')] }), 'committed')
  }

  async function read(storage: Storage): Promise<void> {
    await readAll(storage, 'order/1')
    await logAll(storage)
    await storage.readBoundary([{ tags: ['seat:1'] }], 0, 10)
    await storage.listStreams({ type: 'order', limit: 10 })
    await storage.listStreamTypes()
    await storage.getDocuments([{ collection: 'views', key: 'a' }])
    const query = { by: 'index', collection: 'views', index: 'colour', equals: 'red', direction: 'forwards' } as const
    await storage.queryDocuments({ ...query, limit: 10 })
  }

  test('who makes the table', async () => {
    await createTable({ ...place(), boundaryTags })
    await createTable({ ...place(), boundaryTags })
    expect(asked()).toEqual(policyOf('Maker'))
  })

  test('who writes, and sequences what it writes: also after another writer died', async () => {
    await newTable()
    const sign: WriterItem = { ...writerKey('dead'), beat: 7 }
    await openTable(await loadSdk(), wire.client, table).write(put(sign, { is: 'anything' }))
    wire.take()
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] })
    const storage = await dynamoStorage(place())
    await write(storage)
    await read(storage)
    const all = new Set(asked())
    await vi.waitFor(
      () => {
        vi.advanceTimersByTime(5_000)
        for (const action of asked()) all.add(action)
        expect(all).toContain('Scan')
      },
      { timeout: 20_000 },
    )
    vi.useRealTimers()
    await storage.close()
    for (const action of asked()) all.add(action)
    expect(all).toEqual(policyOf('Writer'))
  })

  test('who writes and leaves sequencing to a function: the same without Scan', async () => {
    await newTable()
    const storage = await dynamoStorage({ ...place(), sequencer: 'elsewhere' })
    await write(storage)
    await read(storage)
    await storage.close()
    expect(new Set([...asked(), 'Scan'])).toEqual(policyOf('Writer'))
  })

  test('who reads', async () => {
    await newTable()
    const writing = await dynamoStorage(place())
    await write(writing)
    await writing.close()
    wire.take()
    const storage = await dynamoStorage({ ...place(), readOnly: true })
    await read(storage)
    await storage.close()
    expect(asked()).toEqual(policyOf('Reader'))
  })

  test('the function that sequences, and sweeps', async () => {
    await newTable()
    const storage = await dynamoStorage({ ...place(), sequencer: 'elsewhere' })
    await write(storage)
    wire.take()
    const sequencer = await dynamoSequencer(place())
    const hint = (revision: number) => ({
      image: { pk: { S: 's#order/1' }, sk: { S: `r${String(revision).padStart(16, '0')}` } },
    })
    expect((await sequencer.sequence([hint(2)])).positioned).toBeGreaterThan(0)
    await sequencer.sweep()
    expect(asked()).toEqual(policyOf('Sequencer'))
    await sequencer.sweep({ onProgress: () => {} })
    expect(asked()).toContain('DescribeTable')
    await storage.close()
  })
})
