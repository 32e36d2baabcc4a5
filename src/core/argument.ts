/** The edge at which callers hand things in: types may have been lied to, so each argument is looked at once. */
import { InvalidArgument } from './errors.ts'

/** Options, conditions, deciders: objects whose properties are looked at by their names. */
export function checkObject(value: unknown, path: string): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new InvalidArgument(path, 'must be an object')
  }
}

export function checkList(value: unknown, path: string): void {
  if (!Array.isArray(value)) throw new InvalidArgument(path, 'must be a list')
  // Also where there is a hole, which `map` would pass over.
  if (value.includes(undefined)) throw new InvalidArgument(`${path}[${[...value].indexOf(undefined)}]`, 'is missing')
}

/** An object with functions of these names. */
export function checkFunctions(value: unknown, path: string, names: readonly string[]): void {
  checkObject(value, path)
  for (const name of names) {
    if (typeof (value as Record<string, unknown>)[name] !== 'function') {
      throw new InvalidArgument(`${path}.${name}`, 'must be a function')
    }
  }
}

/** 0, 1, 2 …: a revision, a position, a count. */
export function checkOrdinal(value: unknown, path: string): void {
  if (!Number.isSafeInteger(value) || (value as number) < 0) throw new InvalidArgument(path, 'must be 0, 1, 2 …')
}

/** Where a listing goes on, of a storage whose cursors are ordinals. Throws `InvalidArgument` for what no page gave. */
export function cursorOrdinal(cursor: string): number {
  if (!/^\d{1,15}$/.test(cursor)) throw new InvalidArgument('cursor', 'is none that a page gave')
  return Number(cursor)
}
