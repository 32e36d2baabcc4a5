/** Events: what users write and what they read back. The stored form is in `storage.ts`. */
import { InvalidArgument } from './errors.ts'

/** The least that an event is: a type, and data that JSON can say. */
export interface AnyEvent {
  readonly type: string
  readonly data?: unknown
}

/**
 * A union from an event map, so that narrowing by `type` just works:
 * `type CustomerEvent = EventOf<{ 'customer-registered': { name: string }; 'customer-renamed': { name: string } }>`
 */
export type EventOf<Map> = {
  [Type in keyof Map & string]: { readonly type: Type; readonly data: Map[Type] }
}[keyof Map & string]

/** Facts about the event rather than of it. The four named ones are conventions that deciders pass on. */
export interface Meta {
  /** The producer's own time of the fact, as text. The store's time is the event's `time`. */
  readonly occurredAt?: string
  /** What all events of one business case share. */
  readonly correlationId?: string
  /** Id of the event or command that caused this one. */
  readonly causationId?: string
  /** W3C trace context. */
  readonly traceparent?: string
  readonly [name: string]: unknown
}

/** An event to write. `id` makes a retry safe (default: a new UUIDv7); `tags` are what conditions and filters ask for. */
export type NewEvent<Event extends AnyEvent = AnyEvent> = Event & {
  readonly id?: string
  readonly tags?: readonly string[]
  readonly meta?: Meta | null
}

/** What the store adds. */
export interface Envelope {
  readonly id: string
  readonly stream: string
  /** Ordinal in its stream, from 1, without gaps. */
  readonly revision: number
  /** Ordinal in the whole log, from 1, without gaps; absent only where the storage assigns it later. */
  readonly position?: number
  /** When the store recorded it: `YYYY-MM-DDTHH:mm:ss.sssZ`; never falls within a stream. */
  readonly time: string
  readonly meta: Meta | null
  /** Unique, in order of UTF-8 bytes. */
  readonly tags: readonly string[]
  /** Only on the one event that remains of a forgotten stream. */
  readonly tombstone?: true
  readonly forgotten?: never
}

export type Recorded<Event extends AnyEvent = AnyEvent> = Event & { readonly data: unknown } & Envelope

/** What the log still shows of an event whose stream was forgotten. */
export interface ForgottenEntry {
  readonly stream: string
  readonly revision: number
  readonly position?: number
  readonly time: string
  readonly forgotten: true
}

/** What the feed yields: forgotten entries come only where neither event types nor tags are asked for. */
export type LogEntry<Event extends AnyEvent = AnyEvent> = Recorded<Event> | ForgottenEntry

/** Meta for events that `event` causes: the same business case and trace, caused by it. */
export function causedBy(event: Recorded): Meta {
  const { correlationId, traceparent } = event.meta ?? {}
  return {
    correlationId: correlationId ?? event.id,
    causationId: event.id,
    ...(traceparent === undefined ? {} : { traceparent }),
  }
}

export function checkMeta(meta: unknown, path: string): asserts meta is Meta | null | undefined {
  if (meta === null || meta === undefined) return
  if (typeof meta !== 'object' || Array.isArray(meta)) throw new InvalidArgument(path, 'must be an object, or left out')
  for (const name of ['occurredAt', 'correlationId', 'causationId', 'traceparent'] as const) {
    const value = (meta as Meta)[name]
    if (value !== undefined && typeof value !== 'string') throw new InvalidArgument(`${path}.${name}`, 'must be a text')
  }
}
