/**
 * Long work of a server, such as a rebuild, as the client asks for it: its progress comes as lines, and at last its result.
 * Where the lines break off it is asked for again, and goes on where it was.
 */
import { isStoreError, StoreClosed } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { ServerUnreachable } from '../core/request-errors.ts'
import { errorOfProblem, type Repeating, type Requester } from './request.ts'

export interface Work<Result> extends Pick<Repeating, 'once' | 'signal'> {
  readonly body: unknown
  /** Told what the server tells on the way. */
  readonly onProgress?: ((progress: unknown) => void) | undefined
  /** After a try whose end did not come: its result, where it is done. */
  readonly known?: () => Promise<Result | undefined>
}

/** A line of the answer. */
interface Told {
  readonly progress?: unknown
  readonly result?: unknown
  readonly problem?: Readonly<Record<string, unknown>>
}

export function work<Result>(requester: Requester, path: string, work: Work<Result>): Promise<Result> {
  const { body, signal, onProgress, known, once } = work
  return requester.trying<Result>(
    async (doubtful) => {
      const done = doubtful ? await known?.() : undefined
      if (done !== undefined) return { answer: done }
      const lines = linesOf(requester, path, { body, signal })
      try {
        for (;;) {
          const line = await lines.next().catch((error: Error) => error)
          signal?.throwIfAborted()
          if (line instanceof Error) return { failure: line }
          if (line.done) return { failure: new ServerUnreachable(requester.url, new Error('the answer was cut off')) }
          const { progress, result, problem } = JSON.parse(line.value) as Told
          if (problem) return { failure: errorOfProblem(problem, String(problem['requestId'])) }
          if (result !== undefined) return { answer: result as Result }
          onProgress?.(progress)
        }
      } finally {
        await lines.return(undefined)
      }
    },
    { signal, ...(once && { once }) },
  )
}

/** Without those that only say that the server is there. Throws where the connection breaks, or is silent for too long. */
async function* linesOf(
  requester: Requester,
  path: string,
  { body, signal }: Pick<Work<unknown>, 'body' | 'signal'>,
): AsyncGenerator<string, undefined> {
  const ended = new AbortController()
  const silent = () => ended.abort(new Error(`nothing came for ${limits.sseSilenceMs} ms`))
  let timer = setTimeout(silent, limits.sseSilenceMs)
  const signals = [requester.closing, ended.signal, ...(signal ? [signal] : [])]
  const decoder = new TextDecoder()
  let rest = ''
  try {
    const headers = { accept: 'application/x-ndjson' }
    const response = await requester.begin('POST', path, { body, headers, signal: AbortSignal.any(signals) })
    // Not every browser can iterate a body.
    const reader = response.body?.getReader()
    for (let part = await reader?.read(); part && !part.done; part = await reader?.read()) {
      clearTimeout(timer)
      timer = setTimeout(silent, limits.sseSilenceMs)
      const lines = (rest + decoder.decode(part.value, { stream: true })).split('\n')
      rest = lines.pop() ?? ''
      yield* lines.filter((line) => line !== '')
    }
  } catch (error) {
    if (isStoreError(error)) throw error
    if (requester.closing.aborted) throw new StoreClosed()
    throw new ServerUnreachable(requester.url, ended.signal.aborted ? ended.signal.reason : error)
  } finally {
    clearTimeout(timer)
    ended.abort()
  }
}
