/**
 * The Lambda host: handlers for the sequencer of a DynamoDB table, on its change stream and on a schedule. They know
 * Lambda's events and nothing of the table; the sequencer is handed in:
 * `export const handler = sequencerHandler(await dynamoSequencer({ table: process.env.TABLE }))`.
 */
import pino, { type Logger } from 'pino'
import { InvalidArgument } from '../core/errors.ts'

/** What `dynamoSequencer` of `daybook/dynamodb` gives. */
export interface ChangeSequencer<Done extends object, Swept extends object> {
  readonly name: string
  sequence(changes: readonly Change[]): Promise<Done>
  sweep(): Promise<Swept>
}

export interface Change {
  /** Attribute values as JSON, bytes in base64. */
  readonly image: Readonly<Record<string, unknown>>
  /** Epoch milliseconds. */
  readonly time?: number | undefined
}

/** The part of a DynamoDB stream's event that counts here. */
export interface StreamEvent {
  readonly Records: readonly StreamRecord[]
}

export interface StreamRecord {
  readonly eventSource?: string | undefined
  readonly eventSourceARN?: string | undefined
  readonly eventName?: string | undefined
  readonly dynamodb?:
    | {
        readonly Keys?: Readonly<Record<string, unknown>> | undefined
        readonly NewImage?: Readonly<Record<string, unknown>> | undefined
        readonly SequenceNumber?: string | undefined
        /** Epoch seconds. */
        readonly ApproximateCreationDateTime?: number | undefined
      }
    | undefined
}

export interface HandlerOptions {
  /** Default: one that writes JSON lines to the standard output. */
  readonly logger?: Logger
}

/**
 * For the event source mapping of the table's stream. Gives and logs what was done. Where it rejects, Lambda has to send
 * the whole batch again: so retries without end, and no report of single items.
 */
export function sequencerHandler<Done extends object, Swept extends object>(
  sequencer: ChangeSequencer<Done, Swept>,
  { logger = pino() }: HandlerOptions = {},
): (event: StreamEvent) => Promise<Done> {
  return async (event) => {
    const records = recordsOf(event)
    const last = records.at(-1)
    const batch = { table: sequencer.name, source: last?.eventSourceARN, until: last?.dynamodb?.SequenceNumber }
    try {
      const done = await sequencer.sequence(records.flatMap((record) => changeOf(record) ?? []))
      logger.info({ ...batch, changes: records.length, done }, 'sequenced')
      return done
    } catch (error) {
      logger.error({ ...batch, changes: records.length, err: error }, 'not sequenced, to be sent again')
      throw error
    }
  }
}

/** For a schedule, or to be invoked by hand: looks through the whole table, whatever the event is. */
export function sweepHandler<Done extends object, Swept extends object>(
  sequencer: ChangeSequencer<Done, Swept>,
  { logger = pino() }: HandlerOptions = {},
): (event?: unknown) => Promise<Swept> {
  return async () => {
    try {
      const swept = await sequencer.sweep()
      logger.info({ table: sequencer.name, swept }, 'swept')
      return swept
    } catch (error) {
      logger.error({ table: sequencer.name, err: error }, 'not swept')
      throw error
    }
  }
}

/** Another trigger's event, taken for an empty batch, would hide for a day that nothing is sequenced. */
function recordsOf(event: StreamEvent): readonly StreamRecord[] {
  const records: unknown = event?.Records
  const ours = (record: StreamRecord | null) => record?.eventSource === 'aws:dynamodb'
  if (Array.isArray(records) && records.every(ours)) return records
  throw new InvalidArgument('event', "is none of a DynamoDB table's stream")
}

/** Records are put once and for all; what changes later has a position already, or will get it as what it was. */
function changeOf({ eventName, dynamodb }: StreamRecord): Change | undefined {
  const image = dynamodb?.NewImage ?? dynamodb?.Keys
  if (eventName !== 'INSERT' || image === undefined) return undefined
  const seconds = dynamodb?.ApproximateCreationDateTime
  return { image, ...(seconds !== undefined && { time: seconds * 1_000 }) }
}
