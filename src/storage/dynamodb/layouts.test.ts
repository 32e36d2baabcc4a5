/** What the layouts cost that `docs/design/dynamodb.md` sets beside this one, on the same engine. */
import {
  CreateTableCommand,
  GetItemCommand,
  PutItemCommand,
  QueryCommand,
  TransactWriteItemsCommand,
} from '@aws-sdk/client-dynamodb'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { missingDynamo } from '../../../test/engines/dynamodb.ts'
import { costOf, newWire, type Wire } from '../../../test/engines/wire.ts'
import { range } from '../../conformance/kit.ts'

const missing = missingDynamo()

describe.skipIf(missing !== undefined)(`other layouts on DynamoDB${missing ? ` (${missing})` : ''}`, () => {
  const TableName = `layouts-${crypto.randomUUID()}`
  const key = (AttributeName: string, KeyType: 'HASH' | 'RANGE') => ({ AttributeName, KeyType })
  const attribute = (AttributeName: string, AttributeType: 'S' | 'N') => ({ AttributeName, AttributeType })
  let wire: Wire
  beforeAll(async () => {
    wire = newWire()
    await wire.client.send(
      new CreateTableCommand({
        ...{ TableName, BillingMode: 'PAY_PER_REQUEST', KeySchema: [key('PK', 'HASH'), key('SK', 'RANGE')] },
        AttributeDefinitions: [
          ...[attribute('PK', 'S'), attribute('SK', 'N'), attribute('StreamType', 'S'), attribute('UpdatedAt', 'S')],
        ],
        GlobalSecondaryIndexes: [
          {
            IndexName: 'StreamIndex',
            KeySchema: [key('StreamType', 'HASH'), key('UpdatedAt', 'RANGE')],
            Projection: { ProjectionType: 'INCLUDE', NonKeyAttributes: ['StreamRevision'] },
          },
        ],
      }),
    )
  })
  afterAll(() => wire?.client.destroy())

  async function cost(run: () => Promise<unknown>) {
    wire.take()
    await run()
    return costOf(wire.take())
  }

  /** Of a small event, which must not be there yet. */
  const putOf = (stream: string, revision: number) => ({
    TableName,
    Item: {
      ...{ PK: { S: stream }, SK: { N: String(revision) }, RecordType: { S: 'event' }, EventType: { S: 'Booked' } },
      ...{ Payload: { S: '{"row":4}' }, CreatedAt: { S: '2026-01-01T00:00:00.000000000Z' } },
    },
    ConditionExpression: 'attribute_not_exists(PK)',
  })

  const readStream = (stream: string, ConsistentRead: boolean) =>
    wire.client.send(
      new QueryCommand({
        ...{ TableName, ConsistentRead, KeyConditionExpression: 'PK = :stream AND SK > :header' },
        ExpressionAttributeValues: { ':stream': { S: stream }, ':header': { N: '0' } },
      }),
    )

  test('a header, moved in an index, and an item for each event: 6 units and half a read unit an append', async () => {
    const { client } = wire
    const stream = crypto.randomUUID()
    const Key = { PK: { S: stream }, SK: { N: '0' } }
    const header = { ...Key, StreamType: { S: 'seat' }, UpdatedAt: { S: '1' }, StreamRevision: { N: '1' } }
    const TransactItems = [{ Put: { TableName, Item: header } }, { Put: putOf(stream, 1) }]
    await client.send(new TransactWriteItemsCommand({ TransactItems }))
    const append = async () => {
      await client.send(new GetItemCommand({ TableName, Key }))
      const Update = {
        ...{ TableName, Key, ConditionExpression: 'StreamRevision = :old' },
        UpdateExpression: 'SET StreamRevision = :new, UpdatedAt = :at',
        ExpressionAttributeValues: { ':old': { N: '1' }, ':new': { N: '2' }, ':at': { S: '2' } },
      }
      await client.send(new TransactWriteItemsCommand({ TransactItems: [{ Update }, { Put: putOf(stream, 2) }] }))
    }
    expect(await cost(append)).toEqual({ requests: 2, reads: 0.5, writes: 4, indexWrites: 2 })
    // Every read of a stream looks at its header first.
    const read = async () => {
      await client.send(new GetItemCommand({ TableName, Key }))
      await readStream(stream, false)
    }
    expect(await cost(read)).toEqual({ requests: 2, reads: 1, writes: 0, indexWrites: 0 })
  })

  test('an item for each event, and nothing else: 1 unit an append, and 4 read units for a stream of 100', async () => {
    const stream = crypto.randomUUID()
    const first = await cost(() => wire.client.send(new PutItemCommand(putOf(stream, 1))))
    expect(first).toEqual({ requests: 1, reads: 0, writes: 1, indexWrites: 0 })
    for (const revision of range(2, 100)) await wire.client.send(new PutItemCommand(putOf(stream, revision)))
    expect((await cost(() => readStream(stream, true))).reads).toBe(4)
    expect((await cost(() => readStream(stream, false))).reads).toBe(2)
  })
})
