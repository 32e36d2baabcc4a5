/**
 * SHA-256. Sealing and verifying spend most of their time in it, so it is the runtime's own where that answers at once; elsewhere
 * the library's. The runtime gives its digest as a text of 32 characters: bytes from it would cost thrice the hashing.
 */
import { sha256 as plain } from '@noble/hashes/sha2.js'

/** What is used of Node's `crypto`, which Deno and Bun have too. */
interface Native {
  hash(algorithm: 'sha256', message: Uint8Array, encoding: 'latin1'): string
}

interface Runtime {
  readonly process?: { getBuiltinModule?(name: 'node:crypto'): Partial<Native> | undefined }
}

/** Writes the hash of a message into the target, from `at` on. */
export type HashInto = (message: Uint8Array, target: Uint8Array, at: number) => void

const digestBytes = 32

export function createSha256({ process }: Runtime): HashInto {
  const { hash } = process?.getBuiltinModule?.('node:crypto') ?? {}
  if (hash === undefined) return (message, target, at) => target.set(plain(message), at)
  return (message, target, at) => {
    const digest = hash('sha256', message, 'latin1')
    for (let byte = 0; byte < digestBytes; byte++) target[at + byte] = digest.charCodeAt(byte)
  }
}

export const sha256Into = createSha256(globalThis as Runtime)

export function sha256(message: Uint8Array): Uint8Array {
  const digest = new Uint8Array(digestBytes)
  sha256Into(message, digest, 0)
  return digest
}
