/**
 * Ids. A new event gets a UUIDv7, which sorts by time of making. An id that must come out the same again (a retry by
 * key, an imported line, a tombstone) is a UUIDv5 of what identifies it.
 */
import { v5, v7 } from 'uuid'
import { canonicalJson } from './encoding.ts'

const namespace = 'd0b5e9b4-6f0a-5c57-9f8e-3d1a7c2b4e60'

export function newId(): string {
  return v7()
}

/** The UUIDv5 of the canonical form of `parts`: equal parts, equal id, on every machine. */
export function derivedId(parts: readonly unknown[]): string {
  return v5(canonicalJson(parts), namespace)
}
