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
const encoder = new TextEncoder()

export const saltBytes = 32

/** Over the plaintext, so that it survives a change of keys. */
export function commitmentOf(salt: Uint8Array, content: string): Uint8Array {
  const start = contentDomain.length + salt.length
  const message = roomFor(start + 3 * content.length)
  message.set(contentDomain)
  message.set(salt, contentDomain.length)
  return sha256(message.subarray(0, start + written(content, message, start)))
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
  const text = `[${JSON.stringify(stream)},${revision},${time},"`
  const message = roomFor(entryDomain.length + 3 * text.length + 2 * commitment.length + closing.length)
  message.set(entryDomain)
  let at = entryDomain.length + written(text, message, entryDomain.length)
  for (const byte of commitment) {
    message[at++] = hexDigits[byte >> 4] ?? 0
    message[at++] = hexDigits[byte & 15] ?? 0
  }
  message.set(closing, at)
  return sha256(message.subarray(0, at + closing.length))
}

/** Where messages are put together, which means nothing behind a call: to allocate one costs more than to hash it. */
const room = new Uint8Array(8_192)

function roomFor(bytes: number): Uint8Array {
  return bytes <= room.length ? room : new Uint8Array(bytes)
}

/** Writes the text in UTF-8, and says how many bytes it has. */
function written(text: string, target: Uint8Array, at: number): number {
  return encoder.encodeInto(text, target.subarray(at)).written
}

/** RFC 9162: the tree's leaf for an entry; its index is the position − 1. */
export function leafOf(entry: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(1 + entry.length)
  bytes.set(entry, 1)
  return sha256(bytes)
}
