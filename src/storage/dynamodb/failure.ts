/** What the engine answers with, in the store's own errors: each names the table and what was done with it. */
import { isStoreError, StorageFailed, StoreBusy, type StoreError, StoreMissing } from '../../core/errors.ts'
import { Throttled } from './driver.ts'

const throttledMs = 500
export const mendMissing = 'make it with "daybook table create"'

/** `operation` is said of the place: `write to`. */
export function failureOf(error: unknown, operation: string, { place }: { readonly place: string }): StoreError {
  if (isStoreError(error)) return error
  if (error instanceof Throttled) return new StoreBusy(`${place} is throttled`, throttledMs, error)
  const { name, message } = error as Error
  if (name === 'ResourceNotFoundException') return new StoreMissing(place, error, mendMissing)
  // Of a signature that is refused the engine may tell what was signed, which is for nobody's log.
  const [told = ''] = message.split('\n')
  return new StorageFailed(`${operation} ${place}`, Object.assign(new Error(`${told} (${name})`), { cause: error }))
}
