/**
 * The slice of DynamoDB that this storage needs: one table, items as plain objects, and the few conditions that the
 * protocol knows. The SDK's client stands behind it, its own or one that is handed in; the model of the protocol puts a
 * table of its own there.
 */
import type {
  AttributeValue,
  ConditionalCheckFailedException,
  DynamoDBClient,
  TransactionCanceledException,
  TransactWriteItem,
} from '@aws-sdk/client-dynamodb'
import { Unsupported } from '../../core/errors.ts'
import { backoffMs, sleep } from '../../core/turn.ts'
import type { Item, Key } from './items.ts'

/** What must hold of the item that lies there, or nothing is written. */
export type Guard =
  | { readonly is: 'anything' }
  | { readonly is: 'absent' }
  /** The attribute has this value; undefined: the item is there, and has no such attribute. */
  | { readonly is: 'equal'; readonly attribute: string; readonly value: string | number | undefined }
  /** The item is absent, or its attribute is less. */
  | { readonly is: 'below'; readonly attribute: string; readonly value: number }

export type TableWrite =
  | { readonly write: 'put'; readonly item: Item; readonly if: Guard }
  | { readonly write: 'delete'; readonly key: Key; readonly if: Guard }
  | { readonly write: 'check'; readonly key: Key; readonly if: Guard }

export function put<Of extends Item>(item: Of, guard: Guard): TableWrite {
  return { write: 'put', item, if: guard }
}

/** `found`: what stands in the way, if anything. */
export type Written = { readonly written: true } | { readonly written: false; readonly found?: Item | undefined }

/** Of each write whether its guard failed; none did where others held the items up. */
export type Transacted =
  | { readonly written: true }
  | { readonly written: false; readonly failed: readonly boolean[]; readonly held: boolean }

export interface KeyRange {
  readonly pk: string
  /** Inclusive bounds. */
  readonly from: string
  readonly to: string
  readonly direction: 'forwards' | 'backwards'
  readonly limit: number
}

export interface UpdatedRange {
  readonly type: string
  readonly after: number
  readonly limit: number
}

export interface ScanPart {
  readonly segment: number
  readonly total: number
  /** The key behind which it begins. */
  readonly after?: Key | undefined
}

/** All reads but that of the index are strongly consistent. A rejection of a write means "outcome unknown". */
export interface Table {
  get(key: Key): Promise<Item | undefined>
  /** Any number of keys, in their order. */
  getMany(keys: readonly Key[]): Promise<readonly (Item | undefined)[]>
  query(range: KeyRange): Promise<{ readonly items: readonly Item[]; readonly more: boolean }>
  /** The index `updated`, by stream type in order of position; may lag. */
  listUpdated(range: UpdatedRange): Promise<{ readonly items: readonly Item[]; readonly more: boolean }>
  /** All items of one of `total` parts, page by page; items of one partition follow each other in order. */
  scan(part: ScanPart): AsyncIterable<readonly Item[]>
  write(write: TableWrite): Promise<Written>
  /** All or none; at most 100, of different items. */
  transact(writes: readonly TableWrite[]): Promise<Transacted>
  /** Waits before a next try, the longer the more there were. */
  pause(tries: number): Promise<void>
  close(): void
}

/** Throws while others hold a table or its items up, after some tries. Nothing was written. */
export class Throttled extends Error {}

export const transactionItems = 100
const getItems = 100
/** How often a request is sent that the engine throttles or, if it only reads, that got no answer; and for how long. */
const requestTries = 8
const requestMsMost = 15_000
/** How long a connection may take, and an answer. */
const connectMs = 3_000
const answerMs = 10_000
const backoffMsFirst = 20
const backoffMsMost = 2_000

const throttles: ReadonlySet<string> = new Set([
  'ProvisionedThroughputExceededException',
  'ThrottlingException',
  'RequestLimitExceeded',
  'TransactionInProgressException',
  // A transaction of somebody else holds the item, so that a single write is turned away.
  'TransactionConflictException',
])
const heldReasons: ReadonlySet<string | undefined> = new Set([
  'TransactionConflict',
  'ThrottlingError',
  'ProvisionedThroughputExceeded',
])

export interface TablePlace {
  readonly table: string
  readonly region?: string | undefined
  /** Of an engine that is not AWS's own. */
  readonly endpoint?: string | undefined
}

export type Sdk = typeof import('@aws-sdk/client-dynamodb') &
  Pick<typeof import('@aws-sdk/util-dynamodb'), 'marshall' | 'unmarshall'>

/** The SDK is loaded here only. */
export async function loadSdk(): Promise<Sdk> {
  try {
    const [client, values] = await Promise.all([import('@aws-sdk/client-dynamodb'), import('@aws-sdk/util-dynamodb')])
    return { ...client, ...values }
  } catch (cause) {
    const mend = 'npm install @aws-sdk/client-dynamodb @aws-sdk/util-dynamodb'
    const error = new Unsupported('dynamodb', `DynamoDB needs two packages beside daybook: ${mend}`)
    throw Object.assign(error, { cause })
  }
}

export function openClient(sdk: Sdk, { region, endpoint }: TablePlace): DynamoDBClient {
  return new sdk.DynamoDBClient({
    ...(region !== undefined && { region }),
    ...(endpoint !== undefined && { endpoint }),
    // Only what is known not to have been done is sent again, and that here.
    maxAttempts: 1,
    requestHandler: { connectionTimeout: connectMs, requestTimeout: answerMs, throwOnRequestTimeout: true },
  })
}

export function openTable(sdk: Sdk, client: DynamoDBClient, table: string): Table {
  const pack = (item: object) => sdk.marshall(item, { removeUndefinedValues: true })
  const unpack = (values: Record<string, AttributeValue>) => sdk.unmarshall(values) as Item
  const keyOf = ({ pk, sk }: Key) => ({ pk: { S: pk }, sk: { S: sk } })
  const ask = <Answer>(run: () => Promise<Answer>) => persist(run, 'read')

  async function getSome(keys: readonly Key[], found: Map<string, Item>): Promise<void> {
    let left: Record<string, AttributeValue>[] | undefined = keys.map(keyOf)
    for (let tries = 1; left !== undefined && left.length > 0; ) {
      const asked: Record<string, AttributeValue>[] = left
      const answer = await ask(() =>
        client.send(new sdk.BatchGetItemCommand({ RequestItems: { [table]: { Keys: asked, ConsistentRead: true } } })),
      )
      for (const values of answer.Responses?.[table] ?? []) {
        const item = unpack(values)
        found.set(idOf(item), item)
      }
      left = answer.UnprocessedKeys?.[table]?.Keys
      // A page ends at 16 MB; only where nothing came at all the table is held up.
      if (left?.length !== asked.length) continue
      if (tries === requestTries) throw new Throttled('DynamoDB throttles the table')
      await pause(tries++)
    }
  }

  return {
    async get(key) {
      const answer = await ask(() =>
        client.send(new sdk.GetItemCommand({ TableName: table, Key: keyOf(key), ConsistentRead: true })),
      )
      return answer.Item && unpack(answer.Item)
    },
    async getMany(keys) {
      const found = new Map<string, Item>()
      const unique = [...new Map(keys.map((key) => [idOf(key), key])).values()]
      const parts = Array.from({ length: Math.ceil(unique.length / getItems) }, (_, part) =>
        unique.slice(part * getItems, (part + 1) * getItems),
      )
      await Promise.all(parts.map((part) => getSome(part, found)))
      return keys.map((key) => found.get(idOf(key)))
    },
    async query({ pk, from, to, direction, limit }) {
      const items: Item[] = []
      let start: Record<string, AttributeValue> | undefined
      do {
        const answer = await ask(() =>
          client.send(
            new sdk.QueryCommand({
              TableName: table,
              KeyConditionExpression: 'pk = :pk AND sk BETWEEN :from AND :to',
              ExpressionAttributeValues: { ':pk': { S: pk }, ':from': { S: from }, ':to': { S: to } },
              ConsistentRead: true,
              ScanIndexForward: direction === 'forwards',
              Limit: limit - items.length,
              ...(start && { ExclusiveStartKey: start }),
            }),
          ),
        )
        items.push(...(answer.Items ?? []).map(unpack))
        start = answer.LastEvaluatedKey
      } while (start !== undefined && items.length < limit)
      return { items, more: start !== undefined }
    },
    async listUpdated({ type, after, limit }) {
      const answer = await ask(() =>
        client.send(
          new sdk.QueryCommand({
            TableName: table,
            IndexName: 'updated',
            KeyConditionExpression: 'lt = :type AND lp > :after',
            ExpressionAttributeValues: { ':type': { S: type }, ':after': { N: String(after) } },
            Limit: limit,
          }),
        ),
      )
      return { items: (answer.Items ?? []).map(unpack), more: answer.LastEvaluatedKey !== undefined }
    },
    async *scan({ segment, total, after }) {
      let start: Record<string, AttributeValue> | undefined = after && keyOf(after)
      do {
        const answer = await ask(() =>
          client.send(
            new sdk.ScanCommand({
              TableName: table,
              ConsistentRead: true,
              Segment: segment,
              TotalSegments: total,
              ...(start && { ExclusiveStartKey: start }),
            }),
          ),
        )
        yield (answer.Items ?? []).map(unpack)
        start = answer.LastEvaluatedKey
      } while (start !== undefined)
    },
    async write(write) {
      const guard = {
        TableName: table,
        ...conditionOf(write.if),
        ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
      } as const
      try {
        if (write.write === 'put') {
          await persist(() => client.send(new sdk.PutItemCommand({ Item: pack(write.item), ...guard })), 'write')
        } else {
          await persist(() => client.send(new sdk.DeleteItemCommand({ Key: keyOf(write.key), ...guard })), 'write')
        }
        return { written: true }
      } catch (error) {
        if (!isNamed<ConditionalCheckFailedException>(error, 'ConditionalCheckFailedException')) throw error
        return { written: false, found: error.Item && unpack(error.Item) }
      }
    },
    async transact(writes) {
      const items = writes.map((write): TransactWriteItem => {
        const guard = { TableName: table, ...conditionOf(write.if) }
        if (write.write === 'put') return { Put: { Item: pack(write.item), ...guard } }
        if (write.write === 'delete') return { Delete: { Key: keyOf(write.key), ...guard } }
        return { ConditionCheck: { Key: keyOf(write.key), ConditionExpression: '', ...guard } }
      })
      const token = crypto.randomUUID()
      try {
        // The token makes a second try of the same transaction safe.
        await persist(
          () => client.send(new sdk.TransactWriteItemsCommand({ TransactItems: items, ClientRequestToken: token })),
          'write',
        )
        return { written: true }
      } catch (error) {
        if (!isNamed<TransactionCanceledException>(error, 'TransactionCanceledException')) throw error
        const reasons = error.CancellationReasons ?? []
        const failed = writes.map((_, index) => reasons[index]?.Code === 'ConditionalCheckFailed')
        const held = reasons.some(({ Code }) => heldReasons.has(Code))
        if (!held && !failed.includes(true)) throw error
        return { written: false, failed, held }
      }
    },
    pause,
    close() {
      client.destroy()
    },
  }
}

export const mostTransactionItems = transactionItems

/** By name: a client that was handed in may come from another copy of the SDK. */
function isNamed<Named extends Error>(error: unknown, name: string): error is Named {
  return (error as Error).name === name
}

/** Sends a request again that was throttled, or, where it only reads, that was not answered. */
async function persist<Answer>(run: () => Promise<Answer>, kind: 'read' | 'write'): Promise<Answer> {
  const until = performance.now() + requestMsMost
  for (let tries = 1; ; tries++) {
    try {
      return await run()
    } catch (error) {
      const throttled = throttles.has((error as Error).name)
      const unanswered = kind === 'read' && !isRefusal(error)
      if (!throttled && !unanswered) throw error
      if (tries === requestTries || performance.now() > until) {
        throw throttled ? new Throttled('DynamoDB throttles the table', { cause: error }) : error
      }
      await pause(tries)
    }
  }
}

/** The request was refused as such, or never sent for want of credentials: nothing was written. */
export function isRefusal(error: unknown): boolean {
  const { name, $fault, $metadata } = error as {
    name?: string
    $fault?: string
    $metadata?: { httpStatusCode?: number }
  }
  if (name === 'CredentialsProviderError') return true
  return $fault === 'client' && $metadata?.httpStatusCode === 400
}

function pause(tries: number): Promise<void> {
  return sleep(backoffMs(tries, backoffMsFirst, backoffMsMost))
}

export function idOf({ pk, sk }: Key): string {
  return `${pk}\n${sk}`
}

function conditionOf(guard: Guard) {
  switch (guard.is) {
    case 'anything':
      return {}
    case 'absent':
      return { ConditionExpression: 'attribute_not_exists(pk)' }
    case 'equal':
      return guard.value === undefined
        ? {
            ConditionExpression: 'attribute_exists(pk) AND attribute_not_exists(#a)',
            ExpressionAttributeNames: { '#a': guard.attribute },
          }
        : {
            ConditionExpression: '#a = :a',
            ExpressionAttributeNames: { '#a': guard.attribute },
            ExpressionAttributeValues: { ':a': attributeOf(guard.value) },
          }
    case 'below':
      return {
        ConditionExpression: 'attribute_not_exists(pk) OR #a < :a',
        ExpressionAttributeNames: { '#a': guard.attribute },
        ExpressionAttributeValues: { ':a': attributeOf(guard.value) },
      }
  }
}

function attributeOf(value: string | number): AttributeValue {
  return typeof value === 'number' ? { N: String(value) } : { S: value }
}
