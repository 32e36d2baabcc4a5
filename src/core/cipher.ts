/**
 * AES-256-GCM. An event is small and there are many, so it is the runtime's own cipher where that answers at once; elsewhere
 * Web Crypto, whose every call goes through a thread and back.
 */

/** One key, ready for use. Bytes are nonce, ciphertext and tag, one after the other. */
export interface Cipher {
  encrypt(plain: Uint8Array, bound: Binding): Promise<Uint8Array> | Uint8Array
  /** Throws, or rejects, where the bytes are not what this key has made of something bound to the same. */
  decrypt(bytes: Uint8Array, bound: Pick<Binding, 'to'>): Promise<Uint8Array> | Uint8Array
}

interface Binding {
  /** Never twice under one key. */
  readonly nonce: Uint8Array
  /** What the bytes belong to; it is not in them. */
  readonly to: Uint8Array
}

export const keyBytes = 32
export const nonceBytes = 12
const tagBytes = 16

/** What is used of Node's `crypto`, which Deno and Bun have too. */
interface Native {
  /** Looked at once; bytes would be with each event, which took longer than encrypting it. */
  createSecretKey(key: Uint8Array): object
  createCipheriv(name: 'aes-256-gcm', key: object, nonce: Uint8Array): NativeCipher & { getAuthTag(): Uint8Array }
  createDecipheriv(
    name: 'aes-256-gcm',
    key: object,
    nonce: Uint8Array,
  ): NativeCipher & { setAuthTag(tag: Uint8Array): void }
}

interface NativeCipher {
  setAAD(bytes: Uint8Array): void
  update(bytes: Uint8Array): Uint8Array
  final(): Uint8Array
}

interface Runtime {
  readonly process?: { getBuiltinModule?(name: 'node:crypto'): Partial<Native> | undefined }
}

export function createCiphers({ process }: Runtime): (key: Uint8Array) => Cipher {
  const { createSecretKey, createCipheriv, createDecipheriv } = process?.getBuiltinModule?.('node:crypto') ?? {}
  if (createSecretKey === undefined || createCipheriv === undefined || createDecipheriv === undefined) return webCipher
  return (bytes) => nativeCipher({ createSecretKey, createCipheriv, createDecipheriv }, bytes)
}

function nativeCipher({ createSecretKey, createCipheriv, createDecipheriv }: Native, key: Uint8Array): Cipher {
  const secret = createSecretKey(key)
  return {
    encrypt(plain, { nonce, to }) {
      const cipher = createCipheriv('aes-256-gcm', secret, nonce)
      cipher.setAAD(to)
      const encrypted = cipher.update(plain)
      cipher.final()
      const bytes = new Uint8Array(nonceBytes + encrypted.length + tagBytes)
      bytes.set(nonce)
      bytes.set(encrypted, nonceBytes)
      bytes.set(cipher.getAuthTag(), nonceBytes + encrypted.length)
      return bytes
    },
    decrypt(bytes, { to }) {
      const end = bytes.length - tagBytes
      const cipher = createDecipheriv('aes-256-gcm', secret, bytes.subarray(0, nonceBytes))
      cipher.setAAD(to)
      cipher.setAuthTag(bytes.subarray(end))
      const plain = cipher.update(bytes.subarray(nonceBytes, end))
      cipher.final()
      return plain
    },
  }
}

/** By key. */
export const cipherOf = createCiphers(globalThis as Runtime)

function webCipher(key: Uint8Array): Cipher {
  const imported = crypto.subtle.importKey('raw', exact(key), 'AES-GCM', false, ['encrypt', 'decrypt'])
  imported.catch(() => {})
  const algorithm = (nonce: Uint8Array, to: Uint8Array) => ({
    ...{ name: 'AES-GCM', iv: exact(nonce), additionalData: exact(to) },
  })
  return {
    async encrypt(plain, { nonce, to }) {
      const encrypted = await crypto.subtle.encrypt(algorithm(nonce, to), await imported, exact(plain))
      const bytes = new Uint8Array(nonceBytes + encrypted.byteLength)
      bytes.set(nonce)
      bytes.set(new Uint8Array(encrypted), nonceBytes)
      return bytes
    },
    async decrypt(bytes, { to }) {
      const nonce = bytes.subarray(0, nonceBytes)
      const encrypted = exact(bytes.subarray(nonceBytes))
      return new Uint8Array(await crypto.subtle.decrypt(algorithm(nonce, to), await imported, encrypted))
    },
  }
}

/** Web Crypto takes no bytes that might be shared with another thread. */
function exact(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes as Uint8Array<ArrayBuffer>
}
