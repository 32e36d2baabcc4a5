/** The body of a request: bounded, UTF-8, JSON that can be recorded exactly. */
import { InvalidArgument } from '../core/errors.ts'
import { parseJson } from '../core/json.ts'
import { limits } from '../core/limits.ts'
import { HttpError, invalid } from './problem.ts'

/** Throws `HttpError` (400, 413, 415) or what `parseJson` throws; paths begin at the body's own fields. */
export async function readJson(request: Request, optional?: true): Promise<unknown> {
  const text = decode(await readBytes(request))
  if (text === '' && optional) return {}
  if (text.trim() === '') throw invalid({ requestBody: ['required'] })
  try {
    return parseJson(text, '')
  } catch (error) {
    // No path: the text is no JSON at all.
    if (error instanceof InvalidArgument && error.path === '') throw invalid({ requestBody: [error.reason] })
    throw error
  }
}

async function readBytes(request: Request): Promise<Uint8Array> {
  const most = limits.requestBytes
  const told = request.headers.get('content-length')
  if (Number(told ?? 0) > most) throw tooLarge()
  // The length is known and held to by whatever reads the connection: hosts have a short way for this.
  if (told !== null && !request.headers.has('content-encoding')) {
    const bytes = new Uint8Array(await request.arrayBuffer())
    if (bytes.length > most) throw tooLarge()
    return bytes
  }
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of unpacked(request) ?? []) {
    length += chunk.length
    // Counted as it is unpacked, so that a small body cannot become a large one.
    if (length > most) throw tooLarge()
    chunks.push(chunk)
  }
  const bytes = new Uint8Array(length)
  let at = 0
  for (const chunk of chunks) {
    bytes.set(chunk, at)
    at += chunk.length
  }
  return bytes
}

function unpacked({ body, headers }: Request): AsyncIterable<Uint8Array> | null {
  const encoding = headers.get('content-encoding')?.toLowerCase() ?? 'identity'
  switch (encoding) {
    case 'identity':
      return body
    case 'gzip':
    case 'deflate':
      return body && fromStream(body.pipeThrough(new DecompressionStream(encoding)), encoding)
    default: {
      const message = `The body is encoded with ${JSON.stringify(encoding)}; send it as it is, or with gzip or deflate`
      throw new HttpError('unsupported-encoding', message, { headers: { 'accept-encoding': 'gzip, deflate' } })
    }
  }
}

async function* fromStream(body: ReadableStream<Uint8Array>, encoding: string): AsyncGenerator<Uint8Array> {
  try {
    yield* body
  } catch {
    throw invalid({ requestBody: [`is no ${encoding}, or is cut off`] })
  }
}

function tooLarge(): HttpError {
  const message = `The body is over the limit requestBytes = ${limits.requestBytes}`
  return new HttpError('request-too-large', message, { headers: { connection: 'close' } })
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw invalid({ requestBody: ['is no UTF-8 text'] })
  }
}
