/** The table: how it is made, and how one that is there is opened. */

import { randomBytes } from 'node:crypto'
import type { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { InvalidArgument, NotAStore, SchemaTooNew, StoreMissing } from '../../core/errors.ts'
import { sleep } from '../../core/turn.ts'
import { loadSdk, openClient, openTable, put, type Sdk, type Table } from './driver.ts'
import { failureOf, mendMissing } from './failure.ts'
import { type LogItem, logKey } from './items.ts'
import type { DynamoPlace } from './options.ts'

export const schemaVersion = 1

/** Beginnings of boundary tags that a table may have. */
const mostBoundaryTags = 20
/** How long a new table may take until it is ready, in milliseconds. */
const createMs = 120_000
const createPollMs = 200

export interface TableOptions extends DynamoPlace {
  /**
   * Beginnings of the tags that conditions and decision reads may name, as `['seat:']`; for good. Each costs a written
   * item for every event that has it. Default: none.
   */
  readonly boundaryTags?: readonly string[]
}

/**
 * Makes the table, on demand, with the change stream that a sequencer elsewhere is fed by, and what the store needs in
 * it; says whether it was made. One that is there is left as it is, but must be a store, or empty.
 */
export async function createTable({ boundaryTags = [], ...place }: TableOptions): Promise<'made' | 'there'> {
  checkPlace(place)
  checkBoundaryTags(boundaryTags)
  const { sdk, client, close } = await connect(place)
  try {
    const made = await createOne(sdk, client, place.table)
    await untilActive(sdk, client, place.table)
    const log = await openLog(openTable(sdk, client, place.table), placeOf(place), { boundaryTags })
    if (log.tags.join('\n') !== [...boundaryTags].sort().join('\n')) {
      const told = log.tags.map((tag) => `"${tag}"`).join(', ') || 'none'
      throw new InvalidArgument('boundaryTags', `the table was made with others (${told}), and keeps them for good`)
    }
    return made
  } catch (error) {
    throw failureOf(error, 'make', { place: placeOf(place) })
  } finally {
    close()
  }
}

export function checkPlace({ table }: DynamoPlace): void {
  // An environment variable that is not set comes as undefined, whatever the types say.
  if (typeof table === 'string' && /^[A-Za-z0-9_.-]{3,255}$/.test(table)) return
  throw new InvalidArgument('table', `"${table}" must be 3 to 255 letters, digits, "_", "-" and "."`)
}

/** Engine and table, without a name or a password that an endpoint may hold. */
export function placeOf({ table, region, endpoint: given }: DynamoPlace): string {
  const endpoint = given?.replace(/\/\/[^/]*@/, '//')
  return `dynamodb:${table}${region === undefined ? '' : ` in ${region}`}${endpoint === undefined ? '' : ` at ${endpoint}`}`
}

export async function connect(
  place: DynamoPlace,
): Promise<{ readonly sdk: Sdk; readonly client: DynamoDBClient; close(): void }> {
  const sdk = await loadSdk()
  const client = place.client ?? openClient(sdk, place)
  const close = () => {
    if (place.client === undefined) client.destroy()
  }
  return { sdk, client, close }
}

/** What the table is; written into an empty one, unless it is only read. */
export async function openLog(
  table: Table,
  place: string,
  {
    boundaryTags = [],
    readOnly = false,
  }: { readonly boundaryTags?: readonly string[]; readonly readOnly?: boolean } = {},
): Promise<LogItem> {
  const log: LogItem = {
    ...logKey,
    ...{ id: crypto.randomUUID(), schema: schemaVersion, secret: randomBytes(32), tags: [...boundaryTags].sort() },
  }
  const found = (await readLogItem(table, place)) ?? (readOnly ? undefined : await writeLogItem(table, place, log))
  if (found === undefined) throw new StoreMissing(place, undefined, mendMissing)
  if (typeof found.id !== 'string' || !(found.secret instanceof Uint8Array))
    throw new NotAStore(place, 'its log has no id')
  if (found.schema > schemaVersion) throw new SchemaTooNew({ place, found: found.schema, known: schemaVersion })
  return found
}

async function readLogItem(table: Table, place: string): Promise<LogItem | undefined> {
  try {
    return (await table.get(logKey)) as LogItem | undefined
  } catch (error) {
    const { name, message } = error as Error
    if (name === 'ValidationException') throw new NotAStore(place, `its keys are others (${message})`, error)
    throw failureOf(error, 'open', { place })
  }
}

/** Into a table of nobody, which has all that a store needs. */
async function writeLogItem(table: Table, place: string, log: LogItem): Promise<LogItem> {
  const taken = await isTaken(table)
  // Somebody may have made it a store meanwhile.
  const found = taken ? await readLogItem(table, place) : undefined
  if (found !== undefined) return found
  if (taken) throw new NotAStore(place, 'it holds items of another application')
  try {
    await table.listUpdated({ type: 'none', after: 0, limit: 1 })
  } catch (error) {
    if ((error as Error).name !== 'ValidationException') throw failureOf(error, 'open', { place })
    throw new NotAStore(place, 'it has no index "updated"', error)
  }
  const result = await table.write(put(log, { is: 'absent' }))
  return result.written ? log : (result.found as LogItem)
}

async function isTaken(table: Table): Promise<boolean> {
  for await (const items of table.scan({ segment: 0, total: 1 })) if (items.length > 0) return true
  return false
}

function checkBoundaryTags(tags: readonly string[]): void {
  if (tags.length > mostBoundaryTags) throw new InvalidArgument('boundaryTags', `are more than ${mostBoundaryTags}`)
  for (const [index, tag] of tags.entries()) {
    if (tag === '' || !tag.isWellFormed())
      throw new InvalidArgument(`boundaryTags[${index}]`, 'must be a beginning of tags')
  }
}

async function createOne(sdk: Sdk, client: DynamoDBClient, table: string): Promise<'made' | 'there'> {
  const key = (name: string, kind: 'HASH' | 'RANGE') => ({ AttributeName: name, KeyType: kind })
  const attribute = (name: string, type: 'S' | 'N') => ({ AttributeName: name, AttributeType: type })
  try {
    await client.send(
      new sdk.CreateTableCommand({
        TableName: table,
        BillingMode: 'PAY_PER_REQUEST',
        AttributeDefinitions: [attribute('pk', 'S'), attribute('sk', 'S'), attribute('lt', 'S'), attribute('lp', 'N')],
        KeySchema: [key('pk', 'HASH'), key('sk', 'RANGE')],
        GlobalSecondaryIndexes: [
          {
            IndexName: 'updated',
            KeySchema: [key('lt', 'HASH'), key('lp', 'RANGE')],
            Projection: { ProjectionType: 'ALL' },
          },
        ],
        StreamSpecification: { StreamEnabled: true, StreamViewType: 'NEW_IMAGE' },
      }),
    )
    return 'made'
  } catch (error) {
    if ((error as Error).name === 'ResourceInUseException') return 'there'
    throw error
  }
}

async function untilActive(sdk: Sdk, client: DynamoDBClient, table: string): Promise<void> {
  for (let waited = 0; ; waited += createPollMs) {
    const { Table } = await client.send(new sdk.DescribeTableCommand({ TableName: table }))
    if (Table?.TableStatus === 'ACTIVE') return
    if (waited >= createMs) throw new Error(`it is still ${Table?.TableStatus} after ${createMs / 1_000} s`)
    await sleep(createPollMs)
  }
}
