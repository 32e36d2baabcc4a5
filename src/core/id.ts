/**
 * Ids and randomness. A new event gets a UUIDv7, which sorts by time of making. An id that must come out the same again
 * (a retry by key, an imported line, a tombstone) is a UUIDv5 of what identifies it. Both by RFC 9562.
 */
import { sha1 } from '@noble/hashes/legacy.js'
import { bytesToHex, concatBytes, hexToBytes } from '@noble/hashes/utils.js'
import { canonicalJson, utf8 } from './encoding.ts'

export type Random = (bytes: number) => Uint8Array

const namespace = hexToBytes('d0b5e9b46f0a5c579f8e3d1a7c2b4e60')
const poolBytes = 8_192

export function newId(random: Random, now: number = Date.now()): string {
  const bytes = random(16)
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  view.setUint32(0, Math.floor(now / 0x1_0000))
  view.setUint16(4, now % 0x1_0000)
  return uuid(bytes, 7)
}

/** The UUIDv5 of the canonical form of `parts`: equal parts, equal id, on every machine. */
export function derivedId(parts: readonly unknown[]): string {
  return uuid(sha1(concatBytes(namespace, utf8(canonicalJson(parts)))).slice(0, 16), 5)
}

function uuid(bytes: Uint8Array, version: number): string {
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | (version << 4)
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80
  const text = bytesToHex(bytes)
  return `${text.slice(0, 8)}-${text.slice(8, 12)}-${text.slice(12, 16)}-${text.slice(16, 20)}-${text.slice(20)}`
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
