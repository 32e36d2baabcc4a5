/**
 * Names and shapes on the wire, as schemas: they validate what comes, and describe it in the OpenAPI document. Their
 * messages are the rules that a client reads under the field's path.
 */
import * as z from 'zod/mini'
import { type InvalidArgument, isStoreError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { checkEventType, checkName, checkStream, checkStreamId, checkStreamType, plainName } from '../core/name.ts'
import { parseInstant } from '../core/time.ts'

/** A part of the path, a query parameter or a header: text that a schema validates; a number is read from its digits. */
export interface Param {
  readonly schema: z.ZodMiniType
  readonly description: string
  /** It may stand so many times at most; then the schema is of one. */
  readonly many?: number
  /** A query parameter that must be there. */
  readonly required?: true
  readonly example?: string | number
}

/** A missing field, null and "" count alike. */
export function required(what: string) {
  return ({ input }: { readonly input?: unknown }) =>
    input === undefined || input === null || input === '' ? 'required' : what
}

/** A rule of the core, told under the name that the field has here. */
export function keeps(check: (value: string) => void) {
  return z.superRefine((value: string, context) => {
    try {
      check(value)
    } catch (error) {
      if (!isStoreError(error, 'invalid-argument')) throw error
      context.addIssue({ code: 'custom', input: value, message: (error as InvalidArgument).reason })
    }
  })
}

export const text = (...checks: Parameters<z.ZodMiniString['check']>) =>
  z.string({ error: required('must be a text') }).check(z.minLength(1, { error: 'required', abort: true }), ...checks)

/** Up to what a double holds exactly. */
export const wholeNumber = (least: number, most?: number) =>
  z
    .int({
      error: ({ input }) => (Number.isInteger(input) ? 'is too large' : required('must be a whole number')({ input })),
    })
    .check(
      z.minimum(least, `must be at least ${least}`),
      ...(most === undefined ? [] : [z.maximum(most, `must be at most ${most}`)]),
    )

/** An object in which every field counts: one that is not known may be a slip that changes what is meant. */
export const record = <Shape extends z.core.$ZodShape>(shape: Shape) =>
  z.strictObject(shape, {
    error: (issue) =>
      issue.code === 'unrecognized_keys'
        ? `has no field ${(issue['keys'] as string[]).map((key) => JSON.stringify(key)).join(', ')}`
        : required('must be an object')(issue),
  })

const printable = '[^\\u0000-\\u001f\\u007f-\\u009f]'
/** Without its anchors, for it is a part of others. */
export const typePattern = plainName.source.slice(1, -1)
const idPattern = '(?!\\.{1,2}$)[^/\\u0000-\\u001f\\u007f-\\u009f]{1,200}'

/** What the core's rules look like as JSON Schema, for those who make requests from the document. */
export const looksLike = (pattern: string, maxLength?: number) =>
  z.meta({ pattern: `^${pattern}$`, ...(maxLength !== undefined && { maxLength }) })

export const instant = z.string().check(z.meta({ format: 'date-time' }))
export const revision = z.int().check(z.minimum(0))

export const streamType: Param = {
  schema: text(keeps(checkStreamType), looksLike(typePattern)),
  description: "The type of the stream; `$audit` is the store's own, and to be read alone.",
  example: 'permit',
}
export const streamId: Param = {
  schema: text(keeps(checkStreamId), looksLike(idPattern)),
  description: 'The id of the stream: no control characters, no "/", neither "." nor "..".',
  example: 'case-891',
}
export const instantText = text(
  keeps((value) => parseInstant(value, 'instant')),
  z.meta({ format: 'date-time' }),
)
/** 1 to `most` characters, none of them a control character. */
export const named = (what: string, most: number) =>
  text(
    keeps((name) => checkName(name, what, what, most)),
    looksLike(`${printable}+`, most),
  )

export const updatedAfter: Param = {
  schema: instantText,
  description: 'Only streams updated at or after this instant (RFC 3339, up to nanoseconds); default: all.',
  example: '2026-01-31T09:30:00.000Z',
}
export const idempotencyKey: Param = {
  schema: text(z.maxLength(limits.eventIdCharacters, `has more than ${limits.eventIdCharacters} characters`)),
  description:
    'Makes a retry safe: the same request with the same key is recorded once, and answered as the first time.',
  example: 'b8f7c2f0-order-17',
}

export const eventType = text(
  keeps((type) => checkEventType(type, 'type')),
  looksLike(`(?!\\$)${printable}+`, limits.eventTypeCharacters),
  z.meta({ examples: ['Confirmation of receipt'] }),
)

// What follows speaks the words of the design: { id, stream, revision, position, time, type, data, meta, tags }.

export const pageLimit: Param = {
  schema: wholeNumber(1, limits.pageRecords),
  description: `At most so many, 1 to ${limits.pageRecords}; default ${limits.pageRecordsDefault}. A page may hold less.`,
  example: 50,
}
export const cursor: Param = {
  schema: text(),
  description: '`next` of the page before, to be sent with the same parameters.',
}
export const direction: Param = {
  schema: z.enum(['forwards', 'backwards'], { error: 'must be forwards or backwards' }),
  description: '`backwards` begins with the newest of the range; default `forwards`.',
  example: 'backwards',
}
export const until: Param = {
  schema: instantText,
  description: 'Only what was recorded at or before this instant (RFC 3339).',
  example: '2026-01-31T09:30:00.000Z',
}
export const untilRevision: Param = {
  schema: wholeNumber(0),
  description: 'Only up to and with this revision.',
  example: 10,
}

export const streamName = text(
  keeps((stream) => checkStream(stream)),
  looksLike(`${typePattern}/${idPattern}`),
  z.meta({ examples: ['permit/case-891'] }),
)
const tag = named('tag', limits.tagCharacters)
/** Daybook's own types may be asked for, but not written. */
export const askedType = named('event type', limits.eventTypeCharacters)
export const list = <Item extends z.ZodMiniType>(item: Item) => z.array(item, { error: required('must be a list') })

export const streamTypes: Param = {
  ...streamType,
  many: limits.queryTypes,
  description: 'Only streams of any of these types.',
}
export const eventTypes: Param = {
  schema: askedType,
  many: limits.queryTypes,
  description: 'Only events of any of these types.',
  example: 'Confirmation of receipt',
}
export const tags: Param = {
  schema: tag,
  many: limits.queryTags,
  description: 'Only events with all of these tags.',
  example: 'seat:7',
}

const metaText = z.optional(z.string({ error: 'must be a text' }))
/** Whatever helps; these four are conventions. */
const meta = z.looseObject(
  { occurredAt: metaText, correlationId: metaText, causationId: metaText, traceparent: metaText },
  { error: 'must be an object, or left out' },
)

export const newEvent = record({
  type: eventType,
  data: z.optional(z.unknown().check(z.meta({ description: 'Any JSON value; it comes back by value. Default null.' }))),
  meta: z.optional(z.nullable(meta)),
  tags: z.optional(list(tag).check(z.meta({ maxItems: limits.eventTags }))),
  id: z.optional(
    named('event id', limits.eventIdCharacters).check(
      z.meta({ description: 'Makes a retry safe; default: a new UUIDv7, or one that follows from `Idempotency-Key`.' }),
    ),
  ),
})
const expected = z.union([wholeNumber(0), z.enum(['any', 'exists'])], {
  error: 'must be a revision (0: the stream must be new), "exists" or "any"',
})
const some = (field: string) => ({ required: [field], properties: { [field]: { minItems: 1 } } })
const queryItem = record({
  types: z.optional(list(askedType).check(z.meta({ maxItems: limits.queryTypes }))),
  tags: z.optional(list(tag).check(z.meta({ maxItems: limits.queryTags }))),
}).check(z.meta({ anyOf: [some('types'), some('tags')] }))
const query = list(queryItem).check(z.meta({ minItems: 1, maxItems: limits.queryItems }))
const condition = record({
  query,
  after: z.optional(wholeNumber(0)),
  guard: z.optional(
    z.string({ error: 'must be a text that a decision read gave' }).check(looksLike('(0|[1-9][0-9]{0,14})')),
  ),
})

export const appendBody = record({
  events: list(newEvent).check(z.meta({ minItems: 1, maxItems: limits.appendEvents })),
  expected: z.optional(expected),
  condition: z.optional(condition),
})
export type AppendBody = z.infer<typeof appendBody>
const part = record({ stream: streamName, events: list(newEvent), expected: z.optional(expected) })
const withEvents = { properties: { events: { minItems: 1 } } }
const onlyChecked = { required: ['expected'], properties: { expected: { not: { const: 'any' } } } }
export const appendManyBody = record({
  appends: list(part.check(z.meta({ anyOf: [withEvents, onlyChecked] }))).check(
    z.meta({ minItems: 1, maxItems: limits.appendStreams, contains: withEvents }),
  ),
  condition: z.optional(condition),
})
export type AppendManyBody = z.infer<typeof appendManyBody>
export const boundaryBody = record({
  query,
  after: z.optional(wholeNumber(0)),
  limit: z.optional(wholeNumber(1, limits.pageRecords)),
})
export type BoundaryBody = z.infer<typeof boundaryBody>
export const forgetBody = record({
  reasonCode: named('reason code', limits.reasonCodeCharacters),
  principal: z.optional(named('principal', limits.reasonCodeCharacters)),
  tombstone: z.optional(record({ type: eventType, data: z.optional(z.unknown()) })),
})
export const details = z.object({
  stream: z.string(),
  revision,
  updatedAt: instant,
  position: z.optional(revision),
  forgotten: z.boolean(),
})
export const recorded = z.object({
  id: z.string(),
  stream: z.string(),
  revision,
  position: z.optional(revision),
  time: instant,
  type: z.string(),
  data: z.unknown(),
  meta: z.nullable(z.record(z.string(), z.unknown())),
  tags: z.array(z.string()),
  tombstone: z.optional(z.literal(true)),
})
const forgottenEntry = z.object({
  stream: z.string(),
  revision,
  position: z.optional(revision),
  time: instant,
  forgotten: z.literal(true),
})
export const eventPage = z.object({ details: z.optional(details), events: z.array(recorded), more: z.boolean() })
export const logPage = z.object({
  logId: z.string(),
  head: revision,
  entries: z.array(z.union([recorded, forgottenEntry])),
  scannedTo: revision,
  more: z.boolean(),
})
export const boundaryPage = z.object({
  events: z.array(recorded),
  condition,
  scannedTo: revision,
  more: z.boolean(),
})
export const streamsPage = pageOfAll('streams', details)

/** The answer of a row that lists things page by page, under their name. */
export function pagedAnswer(
  name: string,
  item: z.ZodMiniType,
  { example, order = '' }: { readonly example: unknown; readonly order?: string },
) {
  return {
    status: 200,
    schema: pageOfAll(name, item),
    description: `A page${order === '' ? '' : `, ${order}`}; \`next\` is absent on the last one.`,
    example: { [name]: [example] },
  } as const
}

function pageOfAll(name: string, item: z.ZodMiniType) {
  return z.object({ [name]: z.array(item), next: z.optional(z.string()) })
}
export const appended = z.object({
  stream: z.string(),
  first: revision,
  revision,
  position: z.optional(revision),
  time: instant,
  ids: z.array(z.string()),
  repeated: z.boolean(),
})
/** What was erased, and what remains. */
const erased = {
  time: instant,
  events: revision,
  documents: revision,
  kinds: z.record(z.string(), revision),
  segments: revision,
  backups: revision,
  scrub: z.enum(['done', 'pending']),
  remains: z.array(
    z.object({
      where: z.string(),
      place: z.optional(z.string()),
      objects: z.optional(revision),
      until: z.optional(instant),
      ends: z.string(),
    }),
  ),
}
export const forgetReport = z.object({ stream: z.string(), revision, position: z.optional(revision), ...erased })
export const subjectReport = z.object({
  subject: z.string(),
  key: z.enum(['destroyed', 'none']),
  streams: revision,
  masked: revision,
  rebuild: z.array(z.string()),
  ...erased,
})
export const storeInfo = z.object({
  logId: z.string(),
  head: revision,
  storage: z.string(),
  gauges: z.record(z.string(), z.number()),
})
/** What went wrong with work in the background. */
export const failure = z.object({
  name: z.string(),
  message: z.string(),
  code: z.optional(z.string()),
  time: instant,
})
/** Who has what is leased, and since when. */
export const held = z.object({ owner: z.string(), since: instant, termMs: revision, beat: revision })
export const problem = z.looseObject({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  message: z.string(),
  requestId: z.string(),
  details: z.unknown(),
})
