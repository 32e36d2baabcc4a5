/** What of an error is for the caller to mend; everything else went wrong here. */
import {
  type InvalidArgument,
  isStoreError,
  type LimitExceeded,
  type RevisionConflict,
  type SchemaViolation,
  type StreamNotFound,
} from 'daybook'
import { Refused, unknownCustomer } from './domain.ts'
import { keyReused } from './views.ts'

export function refusalOf(error: unknown): Refused | undefined {
  if (error instanceof Refused) return error
  if (!isStoreError(error)) return undefined
  switch (error.code) {
    case 'revision-conflict':
      return conflict(error as RevisionConflict)
    case 'stream-not-found':
    case 'stream-forgotten':
      return unknownCustomer(customerOf(error as StreamNotFound))
    case 'event-id-reused':
      return keyReused()
    case 'projection-failed':
      return error.cause instanceof Refused ? error.cause : undefined
    case 'invalid-argument': {
      const { path, reason } = error as InvalidArgument
      return invalid(path, [reason])
    }
    case 'schema-violation':
      return invalid(
        (error as SchemaViolation).path,
        (error as SchemaViolation).issues.map(({ message }) => message),
      )
    case 'limit-exceeded': {
      const { message, limit, allowed, actual } = error as LimitExceeded
      return new Refused(message, { limit, allowed, actual })
    }
    default:
      return undefined
  }
}

function conflict(error: RevisionConflict): Refused {
  const { expected, actual } = error
  const customerId = customerOf(error)
  if (actual === 0) return unknownCustomer(customerId)
  const message = `Customer ${customerId} has version ${actual}, and not ${expected}; query it, and amend what it is now`
  return new Refused(message, { customerId, version: expected, actual })
}

function customerOf({ stream }: { readonly stream: string }): string {
  return stream.slice(stream.indexOf('/') + 1)
}

/** The store speaks of a stream and its events; the caller sent a customer. */
function invalid(path: string, reasons: readonly string[]): Refused {
  const names: Readonly<Record<string, string>> = { stream: 'customerId', id: 'customerId', until: 'timestamp' }
  const field = names[path] ?? path.replace(/^events\[0\]\.data\./, '')
  return new Refused(`${field}: ${reasons[0]}`, { messages: { [field]: reasons } })
}
