/**
 * Base64 with padding (RFC 4648), strict: each sequence of bytes has one text, and nothing else is taken. By the runtime's own
 * where it is Node's, for what is encrypted goes through here.
 */

/** So many bytes at once, for arguments of a call are limited. */
const chunkBytes = 8_192

/** What is used of Node's `Buffer`, which Deno and Bun have too. */
interface Native {
  from(bytes: ArrayBufferLike, offset: number, length: number): { toString(encoding: 'base64'): string }
  from(text: string, encoding: 'base64'): Uint8Array & { toString(encoding: 'base64'): string }
}

const { Buffer: native } = globalThis as { readonly Buffer?: Native }

export function base64Of(bytes: Uint8Array): string {
  if (native) return native.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64')
  let text = ''
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    text += String.fromCharCode(...bytes.subarray(at, at + chunkBytes))
  }
  return btoa(text)
}

/** Undefined where the text is not exactly what `base64Of` gives for some bytes. */
export function bytesOfBase64(text: string): Uint8Array | undefined {
  if (native) {
    const bytes = native.from(text, 'base64')
    return bytes.toString('base64') === text ? new Uint8Array(bytes) : undefined
  }
  const binary = decoded(text)
  // What it passes over, such as blanks, would be missing.
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0
  if (binary === undefined || binary.length !== (text.length / 4) * 3 - padding) return undefined
  const bytes = new Uint8Array(binary.length)
  for (let at = 0; at < binary.length; at++) bytes[at] = binary.charCodeAt(at)
  // Bits that no byte has must be zero: only the last four characters can have such.
  const padded = text.endsWith('=')
  return padded && btoa(binary.slice(-(binary.length % 3))) !== text.slice(-4) ? undefined : bytes
}

function decoded(text: string): string | undefined {
  try {
    return atob(text)
  } catch {
    return undefined
  }
}
