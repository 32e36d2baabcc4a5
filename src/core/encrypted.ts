/**
 * How an event is stored of which something is encrypted: its content, with masks where that was, and behind it what was
 * there, for each subject apart. The commitment is over the content as it was, so nothing of a proof depends on keys.
 *
 *     [id, type, tags, data, meta, [[subject key, base64, [at, length, at, length …]], …]]
 *
 * The base64 holds nonce, ciphertext and tag of a share of the salt and the JSON texts, which never hold a line break, a line
 * each; they take the place of so many characters in the content with masks. All shares together are the salt, so that what is
 * left of one subject never helps to guess what another's was. The cipher binds it to its stream, and to all that stands beside it.
 */
import { base64Of, bytesOfBase64 } from './base64.ts'
import { type Cipher, nonceBytes } from './cipher.ts'
import { utf8, utf8Length } from './encoding.ts'
import type { Random } from './id.ts'
import type { JsonPlace } from './json-places.ts'
import { saltBytes } from './leaf.ts'
import type { PreparedEvent } from './storage.ts'

/** What is encrypted for one subject: places in the content, in order, and what is read there once its key is gone. */
export interface Secret {
  /** The key of the subject's document. */
  readonly key: string
  readonly places: readonly (JsonPlace & { readonly mask: string })[]
}

/** What stands in the salt's place: the salt itself is encrypted. */
export const hiddenSalt: Uint8Array = new Uint8Array(saltBytes)

/** No other content ends so: `meta` is null or an object. */
export function isEncrypted(content: string): boolean {
  return content.endsWith(']]')
}

/** The event as it is stored. No two places of its secrets overlap. */
export async function encryptEvent(
  event: PreparedEvent,
  stream: string,
  {
    secrets,
    cipherOf,
    random,
  }: { readonly secrets: readonly Secret[]; readonly cipherOf: (key: string) => Cipher; readonly random: Random },
): Promise<PreparedEvent> {
  const { head, hidden } = mask(event.content, secrets)
  let left = event.salt
  const parts: unknown[] = []
  for (const [index, { key, spans, texts }] of hidden.entries()) {
    const share = index === hidden.length - 1 ? left : random(saltBytes)
    left = xor(left, share)
    const text = utf8(texts.join('\n'))
    const plain = new Uint8Array(saltBytes + text.length)
    plain.set(share)
    plain.set(text, saltBytes)
    const encrypted = cipherOf(key).encrypt(plain, { nonce: random(nonceBytes), to: binding(stream, head, key, spans) })
    parts.push([key, base64Of(encrypted instanceof Uint8Array ? encrypted : await encrypted), spans])
  }
  const content = `${head.slice(0, -1)},${JSON.stringify(parts)}]`
  return { ...event, content, contentBytes: utf8Length(content), salt: hiddenSalt }
}

interface Hidden {
  readonly key: string
  readonly spans: readonly number[]
  readonly texts: readonly string[]
}

/** The content with masks, and what they hide. */
function mask(content: string, secrets: readonly Secret[]) {
  const hidden = secrets.map(({ key }) => ({ key, spans: [] as number[], texts: [] as string[] }))
  const all = secrets
    .flatMap(({ places }, of) => places.map((place) => ({ ...place, of })))
    .sort((one, other) => one.at - other.at)
  let head = ''
  let from = 0
  for (const { at, end, mask, of } of all) {
    head += content.slice(from, at)
    hidden[of]?.spans.push(head.length, mask.length)
    hidden[of]?.texts.push(content.slice(at, end))
    head += mask
    from = end
  }
  return { head: head + content.slice(from), hidden: hidden as readonly Hidden[] }
}

/** Stored content, taken apart. */
export interface Encrypted {
  /** The content with masks. */
  readonly head: string
  readonly parts: readonly EncryptedPart[]
}

export type EncryptedPart = readonly [key: string, text: string, spans: readonly number[]]

/** Throws where it is none that `encryptEvent` has made. */
export function encryptedIn(content: string): Encrypted {
  // Keys are UUIDs, and base64 has no brackets, so that nothing behind it looks like this.
  const at = content.lastIndexOf(',[[')
  return { head: `${content.slice(0, at)}]`, parts: JSON.parse(content.slice(at + 1, -1)) as readonly EncryptedPart[] }
}

/**
 * The content with all that can be decrypted, masks for the rest; and the salt, where nothing is left out. `cipherOf` knows no
 * cipher for keys that were destroyed. Throws where a key is not the one, or the bytes are not what they were.
 */
export async function decryptContent(
  { head, parts }: Encrypted,
  stream: string,
  cipherOf: (key: string) => Cipher | undefined,
): Promise<{ readonly content: string; readonly salt?: Uint8Array }> {
  const found: { readonly at: number; readonly length: number; readonly text: string }[] = []
  let salt: Uint8Array | undefined = hiddenSalt
  for (const [key, text, spans] of parts) {
    const cipher = cipherOf(key)
    if (cipher === undefined) {
      salt = undefined
      continue
    }
    const bytes = bytesOfBase64(text)
    if (bytes === undefined) throw new TypeError('it is no base64')
    const decrypted = cipher.decrypt(bytes, { to: binding(stream, head, key, spans) })
    const plain = decrypted instanceof Uint8Array ? decrypted : await decrypted
    salt = salt && xor(salt, plain.subarray(0, saltBytes))
    const texts = decoder.decode(plain.subarray(saltBytes)).split('\n')
    for (const [index, text] of texts.entries()) {
      found.push({ at: spans[2 * index] ?? 0, length: spans[2 * index + 1] ?? 0, text })
    }
  }
  found.sort((one, other) => one.at - other.at)
  let content = ''
  let from = 0
  for (const { at, length, text } of found) {
    content += head.slice(from, at) + text
    from = at + length
  }
  content += head.slice(from)
  return salt ? { content, salt } : { content }
}

const decoder = new TextDecoder('utf-8', { fatal: true })

function binding(stream: string, head: string, key: string, spans: readonly number[]): Uint8Array {
  return utf8(`daybook/encrypted/1\0${stream}\0${key}\0${spans.join(',')}\0${head}`)
}

function xor(left: Uint8Array, right: Uint8Array): Uint8Array {
  return left.map((byte, index) => byte ^ (right[index] ?? 0))
}
