/**
 * AES-256-GCM, from texts to texts. An event is small and there are many, so it is the runtime's own cipher where that answers at
 * once; elsewhere Web Crypto, whose every call goes through a thread and back.
 */
import { base64Of, bytesOfBase64 } from './base64.ts'
import { utf8 } from './encoding.ts'

/** One key, ready for use. */
export interface Cipher {
  /** Base64 of nonce, ciphertext and tag. */
  encrypt(plain: Plain, bound: Binding): Promise<string> | string
  /** Throws, or rejects, where it is not what this key has made of something bound to the same. */
  decrypt(encrypted: string, bound: Pick<Binding, 'to'>): Promise<Plain> | Plain
}

export interface Plain {
  /** 32 of them: a key, or a share of a salt. */
  readonly bytes: Uint8Array
  readonly text: string
}

interface Binding {
  /** Never twice under one key. */
  readonly nonce: Uint8Array
  /** What it belongs to; it is not in it. */
  readonly to: string
}

export const keyBytes = 32
export const nonceBytes = 12
const plainBytes = 32
const tagBytes = 16

/** What is used of Node's `crypto` and `Buffer`, which Deno and Bun have too. */
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

/** Small buffers are cut out of a larger one: bytes of their own for each event are what the collector of garbage is busy with. */
interface Buffers {
  allocUnsafe(size: number): NativeBuffer
  byteLength(text: string): number
  from(text: string, encoding?: 'base64' | 'utf8'): NativeBuffer
}

interface NativeBuffer extends Uint8Array {
  write(text: string, at: number): number
  toString(encoding?: 'base64' | 'utf8', from?: number): string
}

interface Runtime {
  readonly process?: { getBuiltinModule?(name: 'node:crypto'): Partial<Native> | undefined }
  readonly Buffer?: Buffers
}

export function createCiphers({ process, Buffer }: Runtime): (key: Uint8Array) => Cipher {
  const { createSecretKey, createCipheriv, createDecipheriv } = process?.getBuiltinModule?.('node:crypto') ?? {}
  if (Buffer === undefined || createSecretKey === undefined) return webCipher
  if (createCipheriv === undefined || createDecipheriv === undefined) return webCipher
  return (bytes) => nativeCipher({ createSecretKey, createCipheriv, createDecipheriv }, Buffer, bytes)
}

/** By key. */
export const cipherOf = createCiphers(globalThis as Runtime)

function nativeCipher(native: Native, buffers: Buffers, key: Uint8Array): Cipher {
  const secret = native.createSecretKey(key)
  return {
    encrypt({ bytes, text }, { nonce, to }) {
      const plain = buffers.allocUnsafe(plainBytes + buffers.byteLength(text))
      plain.set(bytes)
      plain.write(text, plainBytes)
      const cipher = native.createCipheriv('aes-256-gcm', secret, nonce)
      cipher.setAAD(buffers.from(to))
      const encrypted = cipher.update(plain)
      cipher.final()
      const all = buffers.allocUnsafe(nonceBytes + encrypted.length + tagBytes)
      all.set(nonce)
      all.set(encrypted, nonceBytes)
      all.set(cipher.getAuthTag(), nonceBytes + encrypted.length)
      return all.toString('base64')
    },
    decrypt(encrypted, { to }) {
      const all = buffers.from(encrypted, 'base64')
      if (all.toString('base64') !== encrypted) throw new TypeError('it is no base64')
      const end = all.length - tagBytes
      const cipher = native.createDecipheriv('aes-256-gcm', secret, all.subarray(0, nonceBytes))
      cipher.setAAD(buffers.from(to))
      cipher.setAuthTag(all.subarray(end))
      const plain = cipher.update(all.subarray(nonceBytes, end)) as NativeBuffer
      cipher.final()
      return { bytes: plain.subarray(0, plainBytes), text: plain.toString('utf8', plainBytes) }
    },
  }
}

function webCipher(key: Uint8Array): Cipher {
  const imported = crypto.subtle.importKey('raw', exact(key), 'AES-GCM', false, ['encrypt', 'decrypt'])
  imported.catch(() => {})
  const algorithm = (nonce: Uint8Array, to: string) => ({
    ...{ name: 'AES-GCM', iv: exact(nonce), additionalData: exact(utf8(to)) },
  })
  return {
    async encrypt({ bytes, text }, { nonce, to }) {
      const encoded = utf8(text)
      const plain = new Uint8Array(plainBytes + encoded.length)
      plain.set(bytes)
      plain.set(encoded, plainBytes)
      const encrypted = await crypto.subtle.encrypt(algorithm(nonce, to), await imported, plain)
      const all = new Uint8Array(nonceBytes + encrypted.byteLength)
      all.set(nonce)
      all.set(new Uint8Array(encrypted), nonceBytes)
      return base64Of(all)
    },
    async decrypt(encrypted, { to }) {
      const all = bytesOfBase64(encrypted)
      if (all === undefined) throw new TypeError('it is no base64')
      const how = algorithm(all.subarray(0, nonceBytes), to)
      const plain = new Uint8Array(await crypto.subtle.decrypt(how, await imported, exact(all.subarray(nonceBytes))))
      return { bytes: plain.subarray(0, plainBytes), text: decoder.decode(plain.subarray(plainBytes)) }
    },
  }
}

const decoder = new TextDecoder('utf-8', { fatal: true })

/** Web Crypto takes no bytes that might be shared with another thread. */
function exact(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes as Uint8Array<ArrayBuffer>
}
