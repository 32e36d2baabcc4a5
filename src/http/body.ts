/** The body of a request: bounded, UTF-8, JSON that can be recorded exactly. */
import { InvalidArgument } from '../core/errors.ts'
import { parseJson } from '../core/json.ts'
import { limits } from '../core/limits.ts'
import { HttpError, invalid } from './problem.ts'

/** Throws `HttpError` (400, 413, 415) or what `parseJson` throws; paths begin at the body's own fields. */
export async function readJson(request: Request): Promise<unknown> {
  const encoding = request.headers.get('content-encoding')
  if (encoding !== null && encoding !== 'identity') {
    throw new HttpError(415, 'unsupported-encoding', `The body is encoded with "${encoding}"; send it as it is`)
  }
  const text = decode(await readBytes(request))
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
  if (Number(request.headers.get('content-length') ?? 0) > most) throw tooLarge()
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of request.body ?? []) {
    length += chunk.length
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

function tooLarge(): HttpError {
  const message = `The body is over the limit requestBytes = ${limits.requestBytes}`
  return new HttpError(413, 'request-too-large', message, { headers: { connection: 'close' } })
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw invalid({ requestBody: ['is no UTF-8 text'] })
  }
}
