/** NDJSON from a stream of bytes, line by line, bounded, each with its number for whoever has to mend it. */
import { InvalidArgument, LimitExceeded } from '../core/errors.ts'
import { parseJson } from '../core/json.ts'
import { limits } from '../core/limits.ts'

export interface Line {
  /** From 1, blank lines counted. */
  readonly number: number
  readonly bytes: number
  /** Bytes of the input up to and with this line. */
  readonly end: number
  /** Throws `InvalidArgument` or `LimitExceeded` for what is no JSON that can be recorded exactly. */
  parse(): unknown
}

const newline = 0x0a

/** Leaves blank lines out. A line over the limit is kept as far as it goes, and refused when it is parsed. */
export async function* readLines(input: AsyncIterable<Uint8Array>): AsyncGenerator<Line> {
  let number = 0
  let end = 0
  let parts: Uint8Array[] = []
  let bytes = 0

  const take = (): Line | undefined => {
    number++
    const [whole, length] = [Buffer.concat(parts), bytes]
    parts = []
    bytes = 0
    return isBlank(whole) ? undefined : { number, bytes: length, end, parse: () => parseLine(whole, length) }
  }

  for await (const chunk of input) {
    let start = 0
    while (start < chunk.length) {
      const at = chunk.indexOf(newline, start)
      const stop = at < 0 ? chunk.length : at
      bytes += stop - start
      if (bytes <= limits.requestBytes) parts.push(chunk.subarray(start, stop))
      end += stop - start + (at < 0 ? 0 : 1)
      start = stop + 1
      const line = at < 0 ? undefined : take()
      if (line) yield line
    }
  }
  const last = bytes > 0 ? take() : undefined
  if (last) yield last
}

function parseLine(bytes: Uint8Array, length: number): unknown {
  if (length > limits.requestBytes) {
    throw new LimitExceeded({ limit: 'requestBytes', allowed: limits.requestBytes, actual: length }, 'line')
  }
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw new InvalidArgument('line', 'is no UTF-8 text')
  }
  try {
    return parseJson(text, '')
  } catch (error) {
    // No path: the line is no JSON at all.
    throw error instanceof InvalidArgument && error.path === '' ? new InvalidArgument('line', error.reason) : error
  }
}

function isBlank(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0x20 || byte === 0x09 || byte === 0x0d)
}
