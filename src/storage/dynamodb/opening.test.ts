/** What a table may turn out to be: missing, another application's, a newer Daybook's, out of reach; and what of it is told. */
import { createServer } from 'node:net'
import { CreateTableCommand, PutItemCommand, UpdateItemCommand } from '@aws-sdk/client-dynamodb'
import { afterAll, describe, expect, test } from 'vitest'
import { missingDynamo, newClient } from '../../../test/engines/dynamodb.ts'
import { newWire, refusal } from '../../../test/engines/wire.ts'
import { append, commit, event, is, logPage, readAll, sequenced } from '../../conformance/kit.ts'
import { isStoreError } from '../../core/errors.ts'
import { createTable, dynamoStorage, type TableOptions } from './storage.ts'

const missing = missingDynamo()

type Attributes = readonly (readonly [name: string, type: 'S' | 'N'])[]
const keys: Attributes = [
  ['pk', 'S'],
  ['sk', 'S'],
]
const updated: Attributes = [
  ['lt', 'S'],
  ['lp', 'N'],
]
const schemaOf = (attributes: Attributes) =>
  attributes.map(([AttributeName], at) => ({ AttributeName, KeyType: at === 0 ? 'HASH' : 'RANGE' }) as const)

describe.skipIf(missing !== undefined)(`opening DynamoDB${missing ? ` (${missing})` : ''}`, () => {
  const client = missing === undefined ? newClient() : undefined
  afterAll(() => client?.destroy())
  let tables = 0
  const newPlace = () => ({ table: `opening-${crypto.randomUUID()}-${++tables}`, ...(client && { client }) })

  async function newTable(options: Omit<TableOptions, 'table'> = {}) {
    const place = newPlace()
    await createTable({ ...place, ...options })
    return place
  }

  /** A table that somebody else has made. */
  async function foreignTable(keys: Attributes, index: Attributes = []) {
    const place = newPlace()
    await client?.send(
      new CreateTableCommand({
        TableName: place.table,
        BillingMode: 'PAY_PER_REQUEST',
        AttributeDefinitions: [...keys, ...index].map(([AttributeName, AttributeType]) => ({
          AttributeName,
          AttributeType,
        })),
        KeySchema: schemaOf(keys),
        ...(index.length > 0 && {
          GlobalSecondaryIndexes: [
            { IndexName: 'updated', KeySchema: schemaOf(index), Projection: { ProjectionType: 'ALL' } },
          ],
        }),
      }),
    )
    return place
  }

  test('a table that is not there is missing, which is told with what makes one', async () => {
    for (const readOnly of [false, true]) {
      const place = newPlace()
      await expect(dynamoStorage({ ...place, readOnly })).rejects.toMatchObject({
        code: 'store-missing',
        message: `There is no store at dynamodb:${place.table}: make it with "daybook table create"`,
      })
    }
  })

  test('a table is made with its boundary tags, once; again with the same ones it is left as it is', async () => {
    const place = newPlace()
    const tags = ['seat:', 'course:']
    expect(await createTable({ ...place, boundaryTags: tags })).toBe('made')
    const storage = await dynamoStorage(place)
    is(await commit(storage, [append('seat/1', 0, event('Booked', { tags: ['seat:1'] }))]), 'committed')
    expect(await createTable({ ...place, boundaryTags: tags.toReversed() })).toBe('there')
    expect(await readAll(storage, 'seat/1')).toHaveLength(1)
    await storage.close()
  })

  test('a table keeps its boundary tags: to make it with others is refused, and tells which it has', async () => {
    const place = await newTable({ boundaryTags: ['seat:'] })
    for (const boundaryTags of [[], ['course:'], ['seat:', 'course:']]) {
      await expect(createTable({ ...place, boundaryTags })).rejects.toMatchObject({
        code: 'invalid-argument',
        path: 'boundaryTags',
        message: expect.stringContaining('"seat:"'),
      })
    }
  })

  test('several who make a table at once make one, with one log', async () => {
    const place = newPlace()
    const made = await Promise.all([1, 2, 3, 4].map(() => createTable(place)))
    expect(made.toSorted()).toEqual(['made', 'there', 'there', 'there'])
    const opened = await Promise.all([1, 2].map(() => dynamoStorage(place)))
    const [one, two] = await Promise.all(opened.map((storage) => logPage(storage)))
    expect(one?.logId).toBe(two?.logId)
    for (const storage of opened) await storage.close()
  })

  test('an empty table of the right keys and index becomes a store when it is opened, unless it is opened for reading only', async () => {
    const place = await foreignTable(keys, updated)
    await expect(dynamoStorage({ ...place, readOnly: true })).rejects.toMatchObject({ code: 'store-missing' })
    const storage = await dynamoStorage(place)
    is(await commit(storage, [append('seat/1', 0, event('Booked'))]), 'committed')
    const reading = await dynamoStorage({ ...place, readOnly: true })
    expect(await readAll(reading, 'seat/1')).toHaveLength(1)
    await expect(commit(reading, [append('seat/1', 1, event('Booked'))])).rejects.toMatchObject({
      code: 'store-read-only',
    })
    for (const each of [storage, reading]) await each.close()
  })

  test('opened for reading only, nothing is written: no sign of life, no listing, no position', async () => {
    const place = await newTable()
    const writing = await dynamoStorage({ ...place, sequencer: 'elsewhere' })
    is(await commit(writing, [append('seat/1', 0, event('Booked'))]), 'committed')
    const wire = newWire()
    const reading = await dynamoStorage({ table: place.table, client: wire.client, readOnly: true })
    await readAll(reading, 'seat/1')
    await logPage(reading)
    await reading.listStreams({ type: 'seat', limit: 10 })
    await reading.listStreamTypes()
    await reading.close()
    expect(wire.take().filter(({ writes }) => writes > 0)).toEqual([])
    await writing.close()
  })

  test.each([
    [[['id', 'S']]],
    [
      [
        ['pk', 'S'],
        ['sk', 'N'],
      ],
    ],
    [[['pk', 'S']]],
    [
      [
        ['PK', 'S'],
        ['SK', 'S'],
      ],
    ],
  ] as const)('a table with the keys %j is no store, and is left as it is', async (others) => {
    const place = await foreignTable(others as Attributes)
    const refused = { code: 'not-a-store', place: `dynamodb:${place.table}` }
    await expect(dynamoStorage(place)).rejects.toMatchObject(refused)
    await expect(createTable(place)).rejects.toMatchObject(refused)
  })

  test('a table without the index of listings is no store, and is left as it is', async () => {
    const place = await foreignTable(keys)
    for (const _ of [1, 2]) {
      await expect(dynamoStorage(place)).rejects.toMatchObject({
        code: 'not-a-store',
        message: expect.stringContaining('no index "updated"'),
      })
    }
  })

  test('a table of the same keys with items of another application is no store, and is left as it is', async () => {
    const place = await foreignTable(keys, updated)
    await client?.send(
      new PutItemCommand({ TableName: place.table, Item: { pk: { S: 'order' }, sk: { S: '1' }, of: { S: 'ann' } } }),
    )
    await expect(dynamoStorage(place)).rejects.toMatchObject({ code: 'not-a-store' })
    await expect(createTable(place)).rejects.toMatchObject({ code: 'not-a-store' })
  })

  test('a table of a newer Daybook is refused', async () => {
    const place = await newTable()
    await client?.send(
      new UpdateItemCommand({
        TableName: place.table,
        Key: { pk: { S: 'm#' }, sk: { S: 'log' } },
        UpdateExpression: 'SET #s = :s',
        ExpressionAttributeNames: { '#s': 'schema' },
        ExpressionAttributeValues: { ':s': { N: '99' } },
      }),
    )
    const refused = { code: 'schema-too-new', found: 99, known: 1 }
    await expect(dynamoStorage(place)).rejects.toMatchObject(refused)
    await expect(createTable(place)).rejects.toMatchObject(refused)
  })

  test.each(['', 'ab', 'a table', 'tisch/1', 'ä'.repeat(5), 'x'.repeat(256)])(
    'a table cannot be named "%s", which is said before anything is asked',
    async (table) => {
      const refused = { code: 'invalid-argument', path: 'table' }
      await expect(dynamoStorage({ table })).rejects.toMatchObject(refused)
      await expect(createTable({ table })).rejects.toMatchObject(refused)
    },
  )

  test('boundary tags are beginnings of tags, and at most 20', async () => {
    const many = Array.from({ length: 21 }, (_, at) => `tag-${at}:`)
    for (const boundaryTags of [[''], ['seat:', '\ud800'], many]) {
      const made = createTable({ ...newPlace(), boundaryTags })
      await expect(made).rejects.toMatchObject({ code: 'invalid-argument' })
    }
  })

  describe('a place that does not answer', () => {
    test.each(['nobody is there', 'somebody is there and says nothing'])(
      'because %s fails in bounded time',
      async (why) => {
        const server = createServer().listen(0, '127.0.0.1')
        await new Promise((resolve) => server.once('listening', resolve))
        const address = server.address()
        const port = typeof address === 'object' && address ? address.port : 0
        if (why === 'nobody is there') server.close()
        const endpoint = `http://user:s3cret@127.0.0.1:${port}`
        const place = { table: 'shop', region: 'local', endpoint }
        const restore = setCredentials()
        const began = performance.now()
        const failed = await dynamoStorage(place).catch((error: unknown) => error)
        expect(performance.now() - began).toBeLessThan(30_000)
        expect(isStoreError(failed, 'storage-failed')).toBe(true)
        const { message } = failed as Error
        expect(message).toMatch(new RegExp(`open dynamodb:shop in local at http://127.0.0.1:${port}`))
        expect(message).not.toContain('s3cret')
        restore()
        server.close()
      },
    )
  })

  test('an account that may not read the table is told so, with the table and the action', async () => {
    const wire = newWire()
    const message = 'User: arn:aws:iam::1:user/ann is not authorized to perform: dynamodb:GetItem'
    wire.breakWith(() => ({ error: refusal('AccessDeniedException', { message }), done: false }))
    await expect(dynamoStorage({ table: 'shop', client: wire.client })).rejects.toMatchObject({
      code: 'storage-failed',
      message: `The storage failed to open dynamodb:shop: ${message} (AccessDeniedException)`,
    })
    await expect(createTable({ table: 'shop', client: wire.client })).rejects.toMatchObject({
      code: 'storage-failed',
      message: `The storage failed to make dynamodb:shop: ${message} (AccessDeniedException)`,
    })
  })

  test('a client that is handed in stays open when the storage is closed', async () => {
    const place = await newTable()
    for (const _ of [1, 2]) {
      const storage = await dynamoStorage(place)
      is(await commit(storage, [append(`seat/${crypto.randomUUID()}`, 0, event('Booked'))]), 'committed')
      await storage.close()
    }
    const storage = await dynamoStorage(place)
    is(await commit(storage, [append('seat/last', 0, event('Booked'))]), 'committed')
    expect(await sequenced(storage, 'seat/last', 1)).toBe(3)
    await storage.close()
  })
})

/** As the SDK looks for them. */
function setCredentials(): () => void {
  const names = ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY'] as const
  const before = names.map((name) => process.env[name])
  for (const name of names) process.env[name] = 's3cret'
  return () => {
    for (const [at, name] of names.entries()) {
      const value = before[at]
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    }
  }
}
