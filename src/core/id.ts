/**
 * Ids and randomness. A new event gets a UUIDv7, which sorts by time of making. An id that must come out the same again
 * (a retry by key, an imported line, a tombstone) is a UUIDv5 of what identifies it.
 */
import { v5, v7 } from 'uuid'
import { canonicalJson } from './encoding.ts'

export type Random = (bytes: number) => Uint8Array

const namespace = 'd0b5e9b4-6f0a-5c57-9f8e-3d1a7c2b4e60'
const poolBytes = 8_192

export function newId(random: Random): string {
  return v7({ random: random(16) })
}

/** The UUIDv5 of the canonical form of `parts`: equal parts, equal id, on every machine. */
export function derivedId(parts: readonly unknown[]): string {
  return v5(canonicalJson(parts), namespace)
}

/** The platform's secure source. Asking it costs about the same for 32 bytes as for 8 KiB, so they are drawn ahead. */
export function secureRandom(): Random {
  let pool = new Uint8Array()
  let used = 0
  return (bytes) => {
    if (used + bytes > pool.length) {
      pool = crypto.getRandomValues(new Uint8Array(Math.max(bytes, poolBytes)))
      used = 0
    }
    used += bytes
    return pool.slice(used - bytes, used)
  }
}
