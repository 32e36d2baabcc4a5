/** What cannot be done, and is for the caller to mend; everything else went wrong here. */
import {
  type InvalidArgument,
  isStoreError,
  type LimitExceeded,
  type RevisionConflict,
  type SchemaViolation,
  type StreamNotFound,
} from 'daybook'

export class Refused extends Error {
  readonly details: object | null

  constructor(message: string, details: object | null = null) {
    super(message)
    this.details = details
  }
}

/** What was asked for is not there. */
export class NotThere extends Refused {}

/** What an application says where the store speaks of streams and events. */
export interface Words {
  /** There is no stream with this id, or it was forgotten. */
  unknown(id: string): Refused
  conflict(error: RevisionConflict, id: string): Refused
  /** What the caller calls the fields that the store complains about. */
  readonly fields: Readonly<Record<string, string>>
}

export function refusalOf(error: unknown, words: Words): Refused | undefined {
  if (error instanceof Refused) return error
  if (!isStoreError(error)) return undefined
  switch (error.code) {
    case 'revision-conflict':
      return words.conflict(error as RevisionConflict, idOf(error as RevisionConflict))
    case 'stream-not-found':
    case 'stream-forgotten':
      return words.unknown(idOf(error as StreamNotFound))
    case 'event-id-reused':
      return keyReused()
    case 'projection-failed':
      return error.cause instanceof Refused ? error.cause : undefined
    case 'invalid-argument': {
      const { path, reason } = error as InvalidArgument
      return invalid([[fieldOf(path, words), [reason]]])
    }
    case 'schema-violation': {
      const { path, issues } = error as SchemaViolation
      return invalid([[fieldOf(path, words), issues.map(({ message }) => message)]])
    }
    case 'limit-exceeded': {
      const { message, limit, allowed, actual } = error as LimitExceeded
      return new Refused(message, { limit, allowed, actual })
    }
    default:
      return undefined
  }
}

export function keyReused(): Refused {
  return new Refused('The Idempotency-Key came with another request already; give each request a key of its own')
}

/** Tells what is wrong with which field; a reason is a sentence without its subject. */
export function invalid(fields: readonly (readonly [field: string, reasons: readonly string[]])[]): Refused {
  const [[field, [reason]] = ['requestBody', ['is none']]] = fields
  return new Refused(`${field}: ${reason}`, { messages: Object.fromEntries(fields) })
}

function idOf({ stream }: { readonly stream: string }): string {
  return stream.slice(stream.indexOf('/') + 1)
}

function fieldOf(path: string, { fields }: Words): string {
  return fields[path] ?? path.replace(/^events\[0\]\.data\./, '')
}
