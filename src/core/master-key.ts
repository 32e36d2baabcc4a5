/**
 * The master key: what the keys of subjects are wrapped by, and the only secret outside of the store. A port, so that a key
 * service can be behind it; here is the one for 32 bytes that somebody keeps in a file or in the environment.
 */
import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'
import { checkFunctions, checkList } from './argument.ts'
import { base64Of, bytesOfBase64 } from './base64.ts'
import { type Cipher, cipherOf, keyBytes, nonceBytes } from './cipher.ts'
import { utf8 } from './encoding.ts'
import { InvalidArgument } from './errors.ts'
import { type Random, secureRandom } from './id.ts'
import { checkName } from './name.ts'
import { sha256 } from './sha256.ts'

export interface MasterKey {
  /** Of the key that wraps; kept in the store beside what it has wrapped. 1 to 200 characters. */
  readonly id: string
  wrap(key: Uint8Array): Promise<Uint8Array>
  /** `id` is that of the key by which it was wrapped: this one's, or of an older one. Rejects where it knows none of that id. */
  unwrap(wrapped: Uint8Array, id: string): Promise<Uint8Array>
}

const idDomain = utf8('daybook/master-key/1\0')
const wrapping = 'daybook/wrapped-key/1'

/** Of 32 random bytes; wraps by the first, and unwraps by any of them. */
export function masterKeyOf(keys: readonly Uint8Array[], random: Random = secureRandom()): MasterKey {
  checkList(keys, 'keys')
  const ciphers = new Map<string, Cipher>()
  for (const [index, key] of keys.entries()) {
    if (!(key instanceof Uint8Array) || key.length !== keyBytes)
      throw new InvalidArgument(`keys[${index}]`, `must be ${keyBytes} bytes`)
    ciphers.set(idOf(key), cipherOf(key))
  }
  const [first] = ciphers
  if (first === undefined) throw new InvalidArgument('keys', 'must hold at least one key')
  const [id, cipher] = first
  return {
    id,
    async wrap(key) {
      const wrapped = await cipher.encrypt({ bytes: key, text: '' }, { nonce: random(nonceBytes), to: wrapping })
      return bytesOfBase64(wrapped) as Uint8Array
    },
    async unwrap(wrapped, of) {
      const known = ciphers.get(of)
      if (known === undefined) throw new InvalidArgument('id', `is of no master key that is here: "${of}"`)
      return (await known.decrypt(base64Of(wrapped), { to: wrapping })).bytes
    },
  }
}

/** Keys as texts, in base64 or hex, with blanks, commas or line breaks between; the first one wraps. `#` begins a note. */
export function masterKeyFrom(text: string, path = 'master key'): MasterKey {
  const words = text
    .replace(/#.*$/gm, '')
    .split(/[\s,]+/)
    .filter((word) => word !== '')
  if (words.length === 0) throw new InvalidArgument(path, 'holds no key; make one with "daybook encryption new-key"')
  return masterKeyOf(
    words.map((word, index) => {
      const bytes = /^[0-9a-f]{64}$/i.test(word) ? hexToBytes(word.toLowerCase()) : bytesOfBase64(word)
      if (bytes?.length === keyBytes) return bytes
      throw new InvalidArgument(path, `key ${index + 1} must be ${keyBytes} bytes in base64 or hex`)
    }),
  )
}

/** What shows which key it is, and nothing of it. */
function idOf(key: Uint8Array): string {
  const bytes = new Uint8Array(idDomain.length + key.length)
  bytes.set(idDomain)
  bytes.set(key, idDomain.length)
  return bytesToHex(sha256(bytes).slice(0, 8))
}

/** Throws `InvalidArgument` for what is none. */
export function checkMasterKey(key: MasterKey, path: string): void {
  checkFunctions(key, path, ['wrap', 'unwrap'])
  checkName(key.id, `${path}.id`, 'id of a master key', 200)
}
