/**
 * SHA-256. Sealing and verifying spend most of their time in it, so it is the runtime's own where that answers at once, which
 * is ten times as fast a block; elsewhere, and for messages too short for it to pay, the library's.
 */
import { sha256 as plain } from '@noble/hashes/sha2.js'

/** What is used of Node's `crypto`, which Deno and Bun have too. */
interface Native {
  hash(algorithm: 'sha256', message: Uint8Array, encoding: 'buffer'): Uint8Array
}

interface Runtime {
  readonly process?: { getBuiltinModule?(name: 'node:crypto'): Partial<Native> | undefined }
}

/** Up to here calling the runtime costs more than it spares. */
const shortBytes = 64

export function createSha256({ process }: Runtime): (message: Uint8Array) => Uint8Array {
  const { hash } = process?.getBuiltinModule?.('node:crypto') ?? {}
  if (hash === undefined) return plain
  return (message) => {
    if (message.length <= shortBytes) return plain(message)
    const { buffer, byteOffset, length } = hash('sha256', message, 'buffer')
    return new Uint8Array(buffer, byteOffset, length)
  }
}

export const sha256 = createSha256(globalThis as Runtime)
