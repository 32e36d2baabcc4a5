/** How the client writes what it asks for into an address. */
import { InvalidArgument } from '../core/errors.ts'
import { formatInstant, parseInstant } from '../core/time.ts'
import type { Parameters } from './request.ts'

/** Those that have a value. */
export function parameters(values: Readonly<Record<string, string | number | undefined>>): Parameters {
  return Object.entries(values).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, String(value)] as const],
  )
}

/** A name as one part of a path. Throws `InvalidArgument` for what none can hold. */
export function segment(name: string, path: string): string {
  if (typeof name !== 'string' || name === '' || !name.isWellFormed()) {
    throw new InvalidArgument(path, 'must be a text that is not empty')
  }
  // Encoded or not, these are steps in an address.
  if (name === '.' || name === '..') throw new InvalidArgument(path, `"${name}" cannot be asked for over HTTP`)
  return encodeURIComponent(name)
}

/** An instant as text; a revision as it is. */
export function instantText<At extends number>(
  at: At | string | Date | undefined,
  path: string,
): At | string | undefined {
  return at instanceof Date ? formatInstant(parseInstant(at, path)) : at
}
