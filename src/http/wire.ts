/**
 * Names and shapes on the wire, as schemas: they validate what comes, and describe it in the OpenAPI document. Their
 * messages are the rules that a client reads under the field's path.
 */
import * as z from 'zod/mini'
import { InvalidArgument, isStoreError } from '../core/errors.ts'
import type { Recorded } from '../core/event.ts'
import { limits } from '../core/limits.ts'
import { checkEventType, checkStreamId, checkStreamType } from '../core/name.ts'
import type { StreamDetails } from '../core/stream.ts'
import { parseInstant } from '../core/time.ts'

/** One part of the path or one query parameter: text that a schema validates; a number is read from its digits first. */
export interface Param {
  readonly schema: z.ZodMiniType
  readonly description: string
  readonly example?: string | number
}

/** A missing field, null and "" count alike. */
function required(what: string) {
  return ({ input }: { readonly input?: unknown }) =>
    input === undefined || input === null || input === '' ? 'required' : what
}

/** A rule of the core, told under the name that the field has here. */
function keeps(check: (value: string) => void) {
  return z.superRefine((value: string, context) => {
    try {
      check(value)
    } catch (error) {
      if (!isStoreError(error, 'invalid-argument')) throw error
      context.addIssue({ code: 'custom', input: value, message: (error as InvalidArgument).reason })
    }
  })
}

const text = (...checks: Parameters<z.ZodMiniString['check']>) =>
  z.string({ error: required('must be a text') }).check(z.minLength(1, { error: 'required', abort: true }), ...checks)

/** Up to what a double holds exactly. */
const wholeNumber = (least: number) =>
  z
    .int({
      error: ({ input }) => (Number.isInteger(input) ? 'is too large' : required('must be a whole number')({ input })),
    })
    .check(z.minimum(least, `must be at least ${least}`))

const instant = z.string().check(z.meta({ format: 'date-time' }))
const revision = z.int().check(z.minimum(0))

export const streamType: Param = {
  schema: text(keeps(checkStreamType), z.meta({ pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$' })),
  description: 'The type of the stream.',
  example: 'permit',
}
export const streamId: Param = {
  schema: text(keeps(checkStreamId), z.meta({ maxLength: limits.streamIdCharacters })),
  description: 'The id of the stream: no control characters, no "/", neither "." nor "..".',
  example: 'case-891',
}
export const streamRevision: Param = {
  schema: wholeNumber(1),
  description: 'The revision that the event is to have: one more than the stream has now.',
  example: 2,
}
export const afterRevision: Param = {
  schema: wholeNumber(0),
  description: 'Only events after this revision; default 0.',
  example: 0,
}
export const updatedAfter: Param = {
  schema: text(
    keeps((value) => parseInstant(value, 'updated-after')),
    z.meta({ format: 'date-time' }),
  ),
  description: 'Only streams updated at or after this instant (RFC 3339, up to nanoseconds); default: all.',
  example: '2026-01-31T09:30:00.000Z',
}
export const pageKey: Param = {
  schema: text(),
  description: 'The `nextPageKey` of the page before, to be sent with the same type and `updated-after`.',
}
export const idempotencyKey: Param = {
  schema: text(z.maxLength(limits.eventIdCharacters, `has more than ${limits.eventIdCharacters} characters`)),
  description:
    'Makes a retry safe: the same request with the same key is recorded once, and answered as the first time.',
  example: 'b8f7c2f0-order-17',
}

const newEvent = z.object(
  {
    eventType: text(
      keeps((type) => checkEventType(type, 'eventType')),
      z.meta({ maxLength: limits.eventTypeCharacters, examples: ['Confirmation of receipt'] }),
    ),
    payload: z.unknown().check(
      z.refine((payload) => payload !== undefined && payload !== null && payload !== '', 'required'),
      z.meta({
        description: 'Any JSON value but null and ""; it comes back by value.',
        examples: ['{"channel":"Internet"}'],
      }),
    ),
  },
  { error: required('must be an object') },
)
export type NewEventBody = z.infer<typeof newEvent>

export const createBody = z.object({ initialEvent: newEvent }, { error: required('must be an object') })
export const appendBody = z.object({ event: newEvent }, { error: required('must be an object') })

export const stream = z.object({ streamId: z.string(), streamType: z.string(), revision, updatedAt: instant })
export const streamAnswer = z.object({ stream })
export const streamPageAnswer = z.object({
  streamPage: z.object({ streams: z.array(stream), hasMore: z.boolean(), nextPageKey: z.optional(z.string()) }),
})
export const event = z.object({
  streamId: z.string(),
  revision,
  eventType: z.string(),
  payload: z.unknown(),
  createdAt: instant,
})
export const eventPageAnswer = z.object({
  eventPage: z.object({ events: z.array(event), hasMore: z.boolean(), lastEvaluatedRevision: revision }),
})
export const health = z.object({ status: z.literal('ok'), at: instant })
export const readiness = z.object({ status: z.literal('ok'), logId: z.string(), head: revision })
export const problem = z.looseObject({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  message: z.string(),
  requestId: z.string(),
  details: z.unknown(),
})

/** `permit/case-891` as the parts that the reference API shows. */
export function printStream({ stream, revision, updatedAt }: Pick<StreamDetails, 'stream' | 'revision' | 'updatedAt'>) {
  const slash = stream.indexOf('/')
  return { streamId: stream.slice(slash + 1), streamType: stream.slice(0, slash), revision, updatedAt }
}

export function printEvent({ stream, revision, type, data, time }: Recorded) {
  return {
    streamId: stream.slice(stream.indexOf('/') + 1),
    revision,
    eventType: type,
    payload: data,
    createdAt: time,
  }
}

/** Where a listing goes on; opaque, and good only for the listing that gave it. */
export function printPageKey(listing: readonly [type: string, updatedAfter: string], cursor: string): string {
  return btoa(JSON.stringify([...listing, cursor]))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '')
}

/** Throws `InvalidArgument` for what is no page key, or is one of another listing. */
export function parsePageKey(key: string, listing: readonly [type: string, updatedAfter: string]): string {
  let parts: unknown
  try {
    parts = JSON.parse(atob(key.replaceAll('-', '+').replaceAll('_', '/')))
  } catch {
    throw new InvalidArgument('stream-next-page-key', 'is no page key')
  }
  if (!Array.isArray(parts) || parts.length !== 3 || !/^\d{1,15}$/.test(String(parts[2]))) {
    throw new InvalidArgument('stream-next-page-key', 'is no page key')
  }
  if (parts[0] !== listing[0] || parts[1] !== listing[1]) {
    throw new InvalidArgument('stream-next-page-key', 'belongs to another type or another "updated-after"')
  }
  return String(parts[2])
}
