/** A table's change stream, read from its beginning, in the form in which Lambda hands it to a function. */
import { DescribeTableCommand, type DynamoDBClient } from '@aws-sdk/client-dynamodb'
import {
  type _Record,
  type AttributeValue,
  DescribeStreamCommand,
  DynamoDBStreamsClient,
  GetRecordsCommand,
  GetShardIteratorCommand,
} from '@aws-sdk/client-dynamodb-streams'
import type { StreamRecord } from '../../src/hosts/lambda.ts'

export interface Changes {
  /** Some of what has come since the last call, as JSON has brought it; nothing where there is no more. */
  next(): Promise<readonly StreamRecord[]>
  close(): void
}

export async function openChanges(client: DynamoDBClient, table: string): Promise<Changes> {
  const { region, endpoint, credentials } = client.config
  const at = await endpoint?.()
  const place = at && `${at.protocol}//${at.hostname}${at.port === undefined ? '' : `:${at.port}`}`
  const streams = new DynamoDBStreamsClient({ region, credentials, ...(place && { endpoint: place }) })
  const { Table } = await client.send(new DescribeTableCommand({ TableName: table }))
  const arn = Table?.LatestStreamArn ?? ''
  const iterators = new Map<string, string | undefined>()

  async function read(shard: string): Promise<readonly StreamRecord[]> {
    const iterator = iterators.get(shard)
    if (iterator === undefined) return []
    const { Records = [], NextShardIterator } = await streams.send(new GetRecordsCommand({ ShardIterator: iterator }))
    iterators.set(shard, NextShardIterator)
    return Records.map((record) => asLambda(record, arn))
  }

  async function beginningOf(shard: string): Promise<string | undefined> {
    const from = { StreamArn: arn, ShardId: shard, ShardIteratorType: 'TRIM_HORIZON' } as const
    return (await streams.send(new GetShardIteratorCommand(from))).ShardIterator
  }

  return {
    async next() {
      const { StreamDescription } = await streams.send(new DescribeStreamCommand({ StreamArn: arn }))
      const records: StreamRecord[] = []
      for (const { ShardId: shard = '' } of StreamDescription?.Shards ?? []) {
        if (!iterators.has(shard)) iterators.set(shard, await beginningOf(shard))
        records.push(...(await read(shard)))
      }
      return records
    },
    close: () => streams.destroy(),
  }
}

function asLambda({ eventName, dynamodb }: _Record, arn: string): StreamRecord {
  const time = dynamodb?.ApproximateCreationDateTime
  return JSON.parse(
    JSON.stringify({
      eventName,
      ...{ eventVersion: '1.1', eventSource: 'aws:dynamodb', awsRegion: 'local', eventSourceARN: arn },
      dynamodb: {
        ...{ SequenceNumber: dynamodb?.SequenceNumber, SizeBytes: dynamodb?.SizeBytes, StreamViewType: 'NEW_IMAGE' },
        ...(time && { ApproximateCreationDateTime: Math.floor(time.getTime() / 1_000) }),
        ...(dynamodb?.Keys && { Keys: jsonOf(dynamodb.Keys) }),
        ...(dynamodb?.NewImage && { NewImage: jsonOf(dynamodb.NewImage) }),
      },
    }),
  )
}

function jsonOf(image: Readonly<Record<string, AttributeValue>>): object {
  return Object.fromEntries(Object.entries(image).map(([name, value]) => [name, jsonValueOf(value)]))
}

function jsonValueOf(value: AttributeValue): object {
  if (value.B) return { B: Buffer.from(value.B).toString('base64') }
  if (value.L) return { L: value.L.map(jsonValueOf) }
  return value.M ? { M: jsonOf(value.M) } : value
}
