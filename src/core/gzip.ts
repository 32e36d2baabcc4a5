/** Compressed text and its hash, by what every runtime has of its own. */
import { bytesToHex, concatBytes } from '@noble/hashes/utils.js'
import { utf8 } from './encoding.ts'

export function gzip(text: string): Promise<Uint8Array> {
  return through(new CompressionStream('gzip'), utf8(text), Number.POSITIVE_INFINITY)
}

/** Throws where the bytes are no gzip, are cut short, hold no UTF-8, or more than `most` bytes of it. */
export async function gunzip(bytes: Uint8Array, most: number): Promise<string> {
  return new TextDecoder('utf-8', { fatal: true }).decode(await through(new DecompressionStream('gzip'), bytes, most))
}

/** SHA-256 in hex; by the platform, for these are many bytes. */
export async function hashOf(bytes: Uint8Array): Promise<string> {
  return bytesToHex(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>)))
}

async function through(
  { writable, readable }: CompressionStream | DecompressionStream,
  bytes: Uint8Array,
  most: number,
): Promise<Uint8Array> {
  const writer = writable.getWriter()
  // What is wrong is told to the reader.
  writer.write(bytes as Uint8Array<ArrayBuffer>).catch(() => {})
  writer.close().catch(() => {})
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of readable as AsyncIterable<Uint8Array>) {
    length += chunk.length
    if (length > most) throw new RangeError(`it holds more than ${most} bytes`)
    chunks.push(chunk)
  }
  return concatBytes(...chunks)
}
