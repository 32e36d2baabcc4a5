/**
 * How an event is stored of which something is encrypted: its content, with masks where that was, and behind it what was
 * there, for each subject apart. In the salt's place stands the commitment of the content as it was; the event's own binds that
 * and the content as it is stored, so that whoever has no key can tell that nothing of it was changed, and nothing of a proof is
 * lost with a key.
 *
 *     [id, type, tags, data, meta, [[subject key, base64, [at, length, at, length …]], …]]
 *
 * The base64 holds nonce, ciphertext and tag of a share of the salt and the JSON texts, which never hold a line break, a line
 * each; they take the place of so many characters in the content with masks. All shares together are the salt, so that what is
 * left of one subject never helps to guess what another's was. The cipher binds it to its stream, and to all that stands beside it.
 */
import { type Cipher, nonceBytes } from './cipher.ts'
import { utf8Length } from './encoding.ts'
import type { Random } from './id.ts'
import type { JsonPlace } from './json-places.ts'
import { commitmentOf, saltBytes } from './leaf.ts'
import type { PreparedEvent } from './storage.ts'

/** What is encrypted for one subject: places in the content, in order, and what is read there once its key is gone. */
export interface Secret {
  /** The key of the subject's document. */
  readonly key: string
  readonly places: readonly (JsonPlace & { readonly mask: string })[]
}

/** No other content ends so: `meta` is null or an object. */
export function isEncrypted(content: string): boolean {
  return content.endsWith(']]')
}

/** How an event is encrypted. */
export interface EncryptHow {
  readonly secrets: readonly Secret[]
  /** By the key of a secret. */
  readonly cipherOf: (key: string) => Cipher
  readonly random: Random
}

/** The event as it is stored; at once, where the cipher answers at once. No two places of its secrets overlap. */
export function encryptEvent(
  event: PreparedEvent,
  stream: string,
  { secrets, cipherOf, random }: EncryptHow,
): PreparedEvent | Promise<PreparedEvent> {
  const { head, hidden } = mask(event.content, secrets)
  let left = event.salt
  // Masks take the place of what is hidden, and what is added are characters of a byte.
  let bytes = event.contentBytes
  const parts = hidden.map(({ key, spans, text, maskBytes }, index) => {
    const last = index === hidden.length - 1
    const share = last ? left : random(saltBytes)
    if (!last) left = xor(left, share)
    bytes += maskBytes - (utf8Length(text) - spans.length / 2 + 1)
    const to = binding(stream, head, key, spans)
    return cipherOf(key).encrypt({ bytes: share, text }, { nonce: random(nonceBytes), to })
  })
  const whole = (encrypted: readonly string[]): PreparedEvent => {
    const texts = encrypted.map((part, index) => {
      const { key = '', spans = [] } = hidden[index] ?? {}
      return `["${key}","${part}",[${spans.join(',')}]]`
    })
    const tail = `,[${texts.join(',')}]]`
    const content = head.slice(0, -1) + tail
    const { id, type, tags, commitment: salt } = event
    const contentBytes = bytes - 1 + tail.length
    return { id, type, tags, content, contentBytes, salt, commitment: commitmentOf(salt, content) }
  }
  const ready = parts.every((part) => typeof part === 'string')
  return ready ? whole(parts) : Promise.all(parts).then(whole)
}

interface Hidden {
  readonly key: string
  /** In the content with masks: where a mask begins, and how long it is. */
  spans: number[]
  /** What the masks hide, a line each. */
  text: string
  maskBytes: number
}

/** The content with masks, and what they hide. */
function mask(content: string, secrets: readonly Secret[]) {
  const hidden: readonly Hidden[] = secrets.map(({ key }) => ({ key, spans: [], text: '', maskBytes: 0 }))
  const all: (Secret['places'][number] & { readonly of: number })[] = []
  for (const [of, { places }] of secrets.entries())
    for (const { at, end, mask } of places) all.push({ at, end, mask, of })
  if (secrets.length > 1) all.sort((one, other) => one.at - other.at)
  let head = ''
  let from = 0
  for (const { at, end, mask, of } of all) {
    const one = hidden[of] as Hidden
    head += content.slice(from, at)
    one.text += (one.spans.length === 0 ? '' : '\n') + content.slice(at, end)
    one.spans.push(head.length, mask.length)
    one.maskBytes += utf8Length(mask)
    head += mask
    from = end
  }
  return { head: head + content.slice(from), hidden }
}

/** What of it is read without any key: itself, or with masks in place of what is encrypted. */
export function shownIn(content: string): string {
  return isEncrypted(content) ? encryptedIn(content).head : content
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
  const parts: unknown = JSON.parse(content.slice(at + 1, -1))
  if (at < 0 || !Array.isArray(parts) || !parts.every(isPart)) throw new TypeError('it is no encrypted content')
  return { head: `${content.slice(0, at)}]`, parts }
}

function isPart(part: unknown): part is EncryptedPart {
  if (!Array.isArray(part)) return false
  const [key, text, spans]: readonly unknown[] = part
  return typeof key === 'string' && /^[0-9a-f-]{36}$/.test(key) && typeof text === 'string' && Array.isArray(spans)
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
  let salt: Uint8Array | undefined = new Uint8Array(saltBytes)
  for (const [key, text, spans] of parts) {
    const cipher = cipherOf(key)
    if (cipher === undefined) {
      salt = undefined
      continue
    }
    const decrypted = cipher.decrypt(text, { to: binding(stream, head, key, spans) })
    const plain = decrypted instanceof Promise ? await decrypted : decrypted
    salt = salt && xor(salt, plain.bytes)
    for (const [index, text] of plain.text.split('\n').entries()) {
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

/** Places in the decrypted content, in order, with the key that each is encrypted by; a mask where that was destroyed. */
export async function hiddenPlaces(
  { head, parts }: Encrypted,
  stream: string,
  cipherOf: (key: string) => Cipher | undefined,
): Promise<readonly (JsonPlace & { readonly key: string })[]> {
  const found: { readonly key: string; readonly at: number; readonly length: number; readonly characters: number }[] =
    []
  for (const [key, text, spans] of parts) {
    const plain = await cipherOf(key)?.decrypt(text, { to: binding(stream, head, key, spans) })
    const texts = plain?.text.split('\n')
    for (let index = 0; 2 * index < spans.length; index++) {
      const [at = 0, length = 0] = spans.slice(2 * index)
      found.push({ key, at, length, characters: texts?.[index]?.length ?? length })
    }
  }
  let shift = 0
  return found
    .sort((one, other) => one.at - other.at)
    .map(({ key, at, length, characters }) => {
      const from = at + shift
      shift += characters - length
      return { key, at: from, end: from + characters }
    })
}

function binding(stream: string, head: string, key: string, spans: readonly number[]): string {
  return `daybook/encrypted/1\0${stream}\0${key}\0${spans.join(',')}\0${head}`
}

function xor(left: Uint8Array, right: Uint8Array): Uint8Array {
  return left.map((byte, index) => byte ^ (right[index] ?? 0))
}
