/**
 * The sequencer apart from the processes that write: a function that is fed with the table's changes, or a command that
 * looks through the whole table. Any number of them may be at it, beside each other and beside writers.
 */
import type { AttributeValue } from '@aws-sdk/client-dynamodb'
import { isStoreError, StorageFailed, StoreBusy } from '../../core/errors.ts'
import type { Clock } from '../../core/time.ts'
import { openTable, type Sdk, Throttled } from './driver.ts'
import { type Item, numberOf, type RecordItem } from './items.ts'
import { createListing } from './listing.ts'
import type { DynamoPlace } from './options.ts'
import { rememberPlaced, type Sequencing, sequence } from './sequence.ts'
import { hashWith, type RecordHint, rememberEnds, type Session } from './session.ts'
import { createSigns } from './signs.ts'
import { sweep } from './sweep.ts'
import { checkPlace, connect, openLog, placeOf } from './table.ts'
import { createTurns } from './turns.ts'

export interface DynamoSequencer {
  /** For messages and logs: the engine and the table. */
  readonly name: string
  /**
   * Gives positions to the records among the changes and to all that must stand before them, brings listings up, and
   * sweeps where changes may have been lost. Other changes, repeated ones and those out of order do no harm. Throws
   * `StorageFailed` or `StoreBusy`: then hand the same over again.
   */
  sequence(changes: readonly TableChange[]): Promise<Sequenced>
  /** Gives a position to every record of the table that has none; throws likewise. */
  sweep(options?: { readonly onProgress?: (progress: SweepProgress) => void }): Promise<Swept>
  close(): Promise<void>
}

export interface DynamoSequencerOptions extends DynamoPlace {
  readonly clock?: Clock
}

/** An item that was put into the table, or just its keys. */
export interface TableChange {
  /** Attribute values, whose bytes may be base64, as they are in JSON. */
  readonly image: Readonly<Record<string, unknown>>
  /** Epoch milliseconds. */
  readonly time?: number | undefined
}

export interface Sequenced {
  /** Records among the changes. */
  readonly records: number
  /** Records that got a position now. */
  readonly positioned: number
  /** Where a sweep was due. */
  readonly swept?: Swept
}

export interface Swept {
  /** Items that were looked at. */
  readonly items: number
  /** Records that got a position now. */
  readonly positioned: number
}

export interface SweepProgress {
  readonly items: number
  /** As the engine counted them within the last six hours. */
  readonly ofItems: number
}

const busyMs = 500

/** Throws `StoreMissing` where the table is not there or is no store yet, `NotAStore`, `SchemaTooNew` or `StorageFailed`. */
export async function dynamoSequencer(options: DynamoSequencerOptions): Promise<DynamoSequencer> {
  const { clock = Date.now } = options
  checkPlace(options)
  const place = placeOf(options)
  const { sdk, client, close } = await connect(options)
  const table = openTable(sdk, client, options.table)
  const log = await openLog(table, place, { readOnly: true }).catch((error) => {
    close()
    throw error
  })
  const session: Session = {
    ...{ place, table, log, clock, hash: hashWith(log.secret), ends: rememberEnds(), feed: {} },
    hint: () => {},
  }
  const listing = createListing(session)
  const turns = createTurns(table)
  const signs = createSigns(table, clock)
  const sequencing: Sequencing = {
    ...{ session, placed: rememberPlaced(), onPage: listing.wrote, onRival: turns.met },
  }

  async function sweepTable(onLooked?: (items: number) => void): Promise<Swept> {
    let items = 0
    const positioned = await sweep(sequencing, (count) => {
      items += count
      onLooked?.(items)
    })
    await listing.catchUp()
    await signs.sweepEnds()
    return { items, positioned }
  }

  /** Of what may be asked again. */
  async function ask<Result>(run: () => Promise<Result>): Promise<Result> {
    try {
      return await run()
    } catch (error) {
      if (isStoreError(error)) throw error
      if (error instanceof Throttled) throw new StoreBusy(`${place} is throttled`, busyMs, error)
      throw new StorageFailed(`sequence ${place}`, error)
    }
  }

  return {
    name: place,
    sequence: (changes) =>
      ask(async () => {
        const hints = changes.flatMap(({ image }) => hintOf(sdk, image) ?? [])
        const oldest = Math.min(...changes.map(({ time }) => time ?? Number.POSITIVE_INFINITY))
        const due = await signs.sweepDue(oldest)
        const positioned = await turns.take(() => sequence(sequencing, hints))
        await listing.catchUp()
        // Only once it is seen to work: a function that fails at every batch is none that lives.
        await signs.live()
        return {
          records: hints.length,
          positioned,
          ...(due && (await signs.claimSweep()) && { swept: await sweepTable() }),
        }
      }),
    sweep: ({ onProgress } = {}) =>
      ask(async () => {
        const ofItems = onProgress ? await countItems() : 0
        await signs.sweepBegins()
        return sweepTable((items) => onProgress?.({ items, ofItems }))
      }),
    async close() {
      close()
    },
  }

  async function countItems(): Promise<number> {
    const { Table } = await client.send(new sdk.DescribeTableCommand({ TableName: options.table }))
    return Table?.ItemCount ?? 0
  }
}

/** Of a record; undefined for all else that is written to the table. */
function hintOf(sdk: Sdk, image: TableChange['image']): RecordHint | undefined {
  const item = sdk.unmarshall(withBytes(image)) as Partial<Item>
  if (typeof item.pk !== 'string' || typeof item.sk !== 'string') return undefined
  if (!item.pk.startsWith('s#') || !item.sk.startsWith('r')) return undefined
  const key = { pk: item.pk, sk: item.sk }
  const hint = { stream: key.pk.slice(2), revision: numberOf(key) }
  // A stream of bare keys hints as well; then the record is read.
  return 'n' in item && 't' in item ? { ...hint, item: item as RecordItem } : hint
}

function withBytes(image: TableChange['image']): Record<string, AttributeValue> {
  return Object.fromEntries(Object.entries(image).map(([name, value]) => [name, valueWithBytes(value)]))
}

function valueWithBytes(value: unknown): AttributeValue {
  const { B: bytes, L: list, M: map } = value as { B?: unknown; L?: readonly unknown[]; M?: TableChange['image'] }
  if (typeof bytes === 'string') return { B: Buffer.from(bytes, 'base64') }
  if (list) return { L: list.map(valueWithBytes) }
  return map ? { M: withBytes(map) } : (value as AttributeValue)
}
