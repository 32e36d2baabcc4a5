/** What went wrong, as plain data that is kept beside the work that it stopped. */
import { limits } from './limits.ts'
import { formatInstant } from './time.ts'

export interface Failure {
  readonly name: string
  readonly message: string
  /** Of an error of Daybook, and of others that have one. */
  readonly code?: string
  readonly time: string
}

export function failureOf(error: unknown, now: number): Failure {
  const { name, message, code } =
    error instanceof Error ? (error as Error & { code?: unknown }) : { name: 'Error', message: String(error) }
  return {
    name: plain(name),
    message: plain(message),
    ...(typeof code === 'string' && { code: plain(code) }),
    time: formatInstant(now),
  }
}

function plain(text: string): string {
  return text.slice(0, limits.failureCharacters).toWellFormed()
}
