/**
 * The leaf: how an event becomes 32 bytes that the ledger can prove. The content is bound by a salted commitment, so
 * that forgetting it (salt and all) leaves every proof valid and reveals nothing. `docs/concepts.md` has the formulas.
 */
import { utf8 } from './encoding.ts'
import { sha256 } from './sha256.ts'

const contentDomain = utf8('daybook/content/1\0')
const entryDomain = utf8('daybook/entry/1\0')
const hexDigits = utf8('0123456789abcdef')
const closing = utf8('"]')

export const saltBytes = 32

/** Over the plaintext, so that it survives a change of keys. */
export function commitmentOf(salt: Uint8Array, content: string): Uint8Array {
  const text = utf8(content)
  const bytes = new Uint8Array(contentDomain.length + salt.length + text.length)
  bytes.set(contentDomain)
  bytes.set(salt, contentDomain.length)
  bytes.set(text, contentDomain.length + salt.length)
  return sha256(bytes)
}

/** What the log's Merkle tree holds of a record; a pure function of it, so it needs no place until content goes. */
export function entryOf(record: {
  readonly stream: string
  readonly revision: number
  readonly time: number
  readonly commitment: Uint8Array
}): Uint8Array {
  const { stream, revision, time, commitment } = record
  // The canonical form of such a list, written out into its place: it is made for every event.
  const text = utf8(`[${JSON.stringify(stream)},${revision},${time},"`)
  const bytes = new Uint8Array(entryDomain.length + text.length + 2 * commitment.length + 2)
  bytes.set(entryDomain)
  bytes.set(text, entryDomain.length)
  let at = entryDomain.length + text.length
  for (const byte of commitment) {
    bytes[at++] = hexDigits[byte >> 4] ?? 0
    bytes[at++] = hexDigits[byte & 15] ?? 0
  }
  bytes.set(closing, at)
  return sha256(bytes)
}

/** RFC 9162: the tree's leaf for an entry; its index is the position − 1. */
export function leafOf(entry: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(1 + entry.length)
  bytes.set(entry, 1)
  return sha256(bytes)
}
