/**
 * Consumers: named readers of the log that know how far they are. This file says what one looks like, to those who ask for
 * it and to the storage; how its events get to a handler is in `consuming.ts`.
 */
import { checkObject } from './argument.ts'
import { checkCount, checkParallel, type TroubleOptions } from './background.ts'
import { putDocument } from './document.ts'
import type { Effect } from './effect.ts'
import { canonicalJson } from './encoding.ts'
import { InvalidArgument } from './errors.ts'
import type { AnyEvent, LogEntry } from './event.ts'
import type { Failure } from './failure.ts'
import { checkTerm, type Held, type Leased } from './lease.ts'
import { limits } from './limits.ts'
import { plainName } from './name.ts'
import { checkFilter, type LogFilter } from './query.ts'
import type { CollectionSpec, Document, DocumentKey, DocumentWrite, Guard } from './storage.ts'
import { type Checkpoint, finishedTo } from './tracker.ts'
import { DefinitionClash } from './work-errors.ts'

/** What a handler says of an event. Nothing: it is handled. */
export interface Handled extends Effect {
  /** It is not: it comes again after so long, up to an hour. That is a try which has failed. */
  readonly retryInMs?: number
  /** It is not, and there is no use in trying again: its stream is parked, for this reason. */
  readonly park?: string
}

export interface EventContext {
  /** 1 for the first one, since this process has the consumer. */
  readonly tries: number
  /** Aborted when another process may have the consumer, or when it is stopped and has waited long enough. */
  readonly signal: AbortSignal
}

/** What it throws is a try that failed. What it returns is committed together with the checkpoint. */
export type EventHandler<Event extends AnyEvent = AnyEvent> = (
  event: LogEntry<Event>,
  context: EventContext,
) => Promise<Handled | undefined> | Promise<void>

/** Where a consumer begins that does not exist yet: with the first event, behind the last one, or behind a position. */
export type StartAt = 'start' | 'now' | number

export interface ConsumerOptions extends LogFilter, TroubleOptions {
  /** Of the consumer; one process at a time works on a name. */
  readonly name: string
  /** Only looked at when the name is new; default `'start'`. */
  readonly from?: StartAt
  /** Streams at the same time, 1 to 1,000; default 10. Within a stream it is always one event after the other. */
  readonly parallel?: number
  /** After so many tries the event's stream is parked, 1 to 100; default 5. */
  readonly tries?: number
  /** The wait after the first try that failed; it doubles with each, up to a minute. Default 200. */
  readonly backoffMs?: number
  /** Another process takes over when this one has been silent for so long; default 15,000. */
  readonly termMs?: number
  /** Stops it. */
  readonly signal?: AbortSignal
}

/** `failed`: ended by something that does not heal, told by `error`; `idle`: nobody works on it. */
export type ConsumerState = 'running' | 'idle' | 'paused' | 'failed'

export interface ConsumerStatus {
  readonly name: string
  readonly streamTypes: readonly string[]
  readonly types: readonly string[]
  readonly tags: readonly string[]
  readonly state: ConsumerState
  /** Everything up to here is handled, parked, or of no interest. */
  readonly position: number
  /** Position of the log's newest event. */
  readonly head: number
  /** How far the one is behind the other. */
  readonly lag: number
  /** Streams that are parked. */
  readonly parked: number
  /** Whose it is, and since when. A process that has died still has it until another one notices. */
  readonly held?: Held
  /** When its checkpoint was last written, by the clock of its process. */
  readonly seenAt: string
  /** Why it failed, or what is tried again just now. It never quotes an event; the parked list may. */
  readonly error?: Failure
}

/** As it is stored. */
export interface ConsumerBody extends Leased {
  readonly type: 'consumer'
  readonly name: string
  /** Unique; another one after each reset, so that nothing of before counts any more. */
  readonly epoch: string
  readonly filter: LogFilter
  readonly logId: string
  readonly checkpoint: Checkpoint
  readonly paused?: true | undefined
  /** At least as many as streams are parked: where it is 0, none is. */
  readonly parked: number
  /** How often a replay of the parked was asked for, and up to which of these it was done. */
  readonly replays: number
  readonly replayed: number
  readonly failed?: Failure | undefined
  readonly trouble?: Failure | undefined
  readonly seenAt: string
}

export const consumers: CollectionSpec = {
  collection: '$consumers',
  indexes: [{ name: 'name', equals: ['type'], order: 'name' }],
}

export function consumerKey(name: string): DocumentKey {
  return { collection: consumers.collection, key: name }
}

export function consumerBodyOf(document: Document): ConsumerBody {
  return JSON.parse(document.body) as ConsumerBody
}

export function putConsumer(body: ConsumerBody, guard: Guard): readonly DocumentWrite[] {
  return putDocument(consumers, { key: body.name, body, if: guard })
}

/** In whose name streams of the consumer are parked. */
export function parkedFor({ name, epoch }: Pick<ConsumerBody, 'name' | 'epoch'>): string {
  return `consumer/${name}/${epoch}`
}

export function statusOf(
  body: ConsumerBody,
  { head, parked }: { readonly head: number; readonly parked: number },
): ConsumerStatus {
  const { name, filter, held, seenAt, failed, trouble } = body
  const { streamTypes = [], types = [], tags = [] } = filter
  const position = finishedTo(body.checkpoint)
  const error = failed ?? trouble
  return {
    ...{
      name,
      streamTypes,
      types,
      tags,
      state: stateOf(body),
      position,
      head,
      lag: Math.max(0, head - position),
      parked,
    },
    ...(held && { held }),
    seenAt,
    ...(error && { error }),
  }
}

function stateOf({ paused, held, failed }: ConsumerBody): ConsumerState {
  if (paused) return 'paused'
  if (held) return 'running'
  return failed ? 'failed' : 'idle'
}

/** Checked, and with its defaults. */
export function settingsOf(options: ConsumerOptions) {
  checkObject(options, 'options')
  checkConsumerName(options.name)
  checkFilter(options, 'filter')
  checkStart(options.from)
  const { streamTypes, types, tags, tries = limits.consumerTriesDefault } = options
  const { backoffMs = limits.consumerBackoffMs } = options
  return {
    name: options.name,
    from: options.from ?? ('start' as const),
    filter: { ...sorted('streamTypes', streamTypes), ...sorted('types', types), ...sorted('tags', tags) } as LogFilter,
    parallel: checkParallel(options.parallel),
    tries: checkCount(tries, 'tries', limits.workTries),
    backoffMs: checkCount(backoffMs, 'backoffMs', limits.consumerBackoffMsMost),
    termMs: checkTerm(options.termMs),
  }
}

export type ConsumerSettings = ReturnType<typeof settingsOf>

/** What a process that works on a consumer brings along. */
export interface Consuming extends ConsumerSettings, TroubleOptions {
  readonly handler: EventHandler
  /** Told when the end of an event is durable, or why it is not. With it each end is made durable at once. */
  readonly recorded?: ((entry: LogEntry, error?: unknown) => void) | undefined
}

/** Throws where a consumer of the name is stored with another filter. */
export function checkSame({ name, filter }: ConsumerBody, settings: Pick<ConsumerSettings, 'filter'>): void {
  for (const field of ['streamTypes', 'types', 'tags'] as const) {
    if (canonicalJson(filter[field] ?? []) === canonicalJson(settings.filter[field] ?? [])) continue
    throw new DefinitionClash({
      what: `consumer "${name}"`,
      field,
      mend: 'give it another name, or remove the stored one',
    })
  }
}

/** An edge: whatever a handler returns. */
export function checkHandled(returned: unknown): Handled {
  if (returned === undefined) return {}
  checkObject(returned, 'what the handler returns')
  const handled = returned as Handled
  if (handled.retryInMs !== undefined) checkCount(handled.retryInMs, 'retryInMs', limits.consumerRetryMs)
  if (handled.park !== undefined && typeof handled.park !== 'string')
    throw new InvalidArgument('park', 'must be a text')
  return handled
}

export function checkConsumerName(name: string): void {
  if (typeof name === 'string' && plainName.test(name)) return
  const rule = `1 to ${limits.streamTypeCharacters} of A-Z a-z 0-9 . _ - and begin with a letter or digit`
  throw new InvalidArgument('name', `of a consumer must be ${rule}`)
}

export function checkStart(from: StartAt = 'start'): void {
  if (from === 'start' || from === 'now' || (Number.isSafeInteger(from) && from >= 0)) return
  throw new InvalidArgument('from', `must be 'start', 'now' or a position`)
}

function sorted(name: keyof LogFilter, values: readonly string[] | undefined): LogFilter {
  return values?.length ? { [name]: [...new Set(values)].sort() } : {}
}
