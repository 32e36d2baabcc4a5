/** Long work that a request asks for: its result as JSON, or its progress and then its result as lines of NDJSON. */
import { StoreClosed } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { problemOf } from './problem.ts'
import type { Answer, Asked } from './route.ts'

/** What a work is given: where to tell how far it is, and what ends it, such as a caller who has gone. */
export interface Going {
  readonly onProgress: (progress: object) => void
  readonly signal: AbortSignal
}

const lines = 'application/x-ndjson'

/** For the row of such a route. */
export function progressMedia(result: object, progress?: object): NonNullable<Answer['media']> {
  const told = progress === undefined ? [{ result }] : [{ progress }, { result }]
  const example = told.map((line) => `${JSON.stringify(line)}\n`).join('')
  const description =
    'How far it is, a line each time, and last its `result`, or the `problem` that ended it. Who goes away ends it; asked for again it goes on where it was.'
  return { [lines]: { description, example } }
}

/** What fails before there is anything to tell is a problem as everywhere; later it is the last line. */
export async function answerWork(asked: Asked, work: (going: Going) => Promise<unknown>): Promise<unknown> {
  if (asked.media !== lines) return work({ onProgress: () => {}, signal: asked.signal })
  const gone = new AbortController()
  const encoder = new TextEncoder()
  const waiting: string[] = []
  let controller: ReadableStreamDefaultController<Uint8Array> | undefined
  let begin = () => {}
  const begins = new Promise<void>((resolve) => {
    begin = resolve
  })
  const say = (line: string) => {
    if (gone.signal.aborted) return
    if (controller) controller.enqueue(encoder.encode(line))
    else waiting.push(line)
    begin()
  }
  const ticking = setInterval(() => say('\n'), limits.sseKeepAliveMs)
  const late = setTimeout(begin, limits.sseProgressMs)
  const done = work({
    onProgress: (progress) => say(`${JSON.stringify({ progress })}\n`),
    signal: AbortSignal.any([asked.signal, gone.signal]),
  }).finally(() => {
    clearInterval(ticking)
    clearTimeout(late)
  })
  done.catch(() => {})
  await Promise.race([done, begins])
  const body = new ReadableStream<Uint8Array>({
    async start(started) {
      controller = started
      for (const line of waiting.splice(0)) say(line)
      const last = await done.then(
        (result) => ({ result }),
        (error: unknown) => {
          const stopped = asked.signal.aborted && error === asked.signal.reason
          return { problem: problemOf(stopped ? new StoreClosed() : error, asked.requestId).problem }
        },
      )
      say(`${JSON.stringify(last)}\n`)
      if (!gone.signal.aborted) started.close()
    },
    cancel: () => gone.abort(),
  })
  return new Response(body, {
    headers: { 'content-type': lines, 'cache-control': 'no-store', 'x-accel-buffering': 'no' },
  })
}
