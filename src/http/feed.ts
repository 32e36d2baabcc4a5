/** The log as a stream of text: NDJSON up to its head, or server-sent events without end. */
import { StoreBusy } from '../core/errors.ts'
import { type LogReadOptions, logPages } from '../core/feed.ts'
import { limits } from '../core/limits.ts'
import type { PageRange, ReadOptions } from '../core/read.ts'
import { turn } from '../core/turn.ts'
import { problemOf } from './problem.ts'
import type { Asked, Feed } from './route.ts'

/** What is held for a client before it is waited for. */
const chunkCharacters = 65_536

/** One entry a line, up to where the log ended when the answer began. A line that is cut off means that it was cut off. */
export async function ndjsonFeed(
  { store, signal }: Pick<Asked, 'store' | 'signal'>,
  options: LogReadOptions,
): Promise<Response> {
  // By pages: to wait for each single entry would cost as much as to print it.
  const pages = logPages((range) => store.readLogPage({ ...options, ...optionsOf(range) }), { ...options, signal })
  // Throws here what keeps the feed from beginning, while that can still be the answer.
  let first: Awaited<ReturnType<typeof pages.next>> | undefined = await pages.next()
  const encoder = new TextEncoder()
  let left = options.limit ?? Number.POSITIVE_INFINITY
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      let text = ''
      while (text === '' && left > 0) {
        const { value: entries, done } = first ?? (await pages.next())
        first = undefined
        if (done) break
        for (const entry of entries.slice(0, left)) text += `${JSON.stringify(entry)}\n`
        left -= entries.length
      }
      if (text === '') controller.close()
      else controller.enqueue(encoder.encode(text))
    },
    async cancel() {
      await pages.return(undefined)
    },
  })
  return new Response(body, { headers: { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' } })
}

function optionsOf({ asOf, ...range }: PageRange): ReadOptions {
  return { ...range, ...(asOf !== undefined && { asOf: new Date(asOf) }) }
}

/**
 * An event for each entry, with `logId:position` as its id; `caught-up` whenever all there is was sent. A client that
 * reads slowly is waited for: what is held for it is bounded. `logId` is of the log that it was seen to begin in.
 */
export function sseFeed(asked: Asked, options: LogReadOptions, logId: string): Response {
  const { store, signal, feeds } = asked
  if (feeds.size >= limits.feedSubscribers) {
    throw new StoreBusy(`${limits.feedSubscribers} subscribers are being served already`, limits.sseRetryMs)
  }
  const feed: Feed = { position: options.after ?? 0 }
  const gone = new AbortController()
  const writer = createWriter()
  feeds.add(feed)

  const message = (position: number, data: unknown, event?: string) =>
    `${event === undefined ? '' : `event: ${event}\n`}id: ${logId}:${position}\ndata: ${JSON.stringify(data)}\n\n`

  // What the filter leaves out moves the feed on as well, but is not worth a message each time.
  let said = -1
  let caughtUp = false
  let quietMs = 0
  const sayWhere = () => {
    if (said === feed.position) return
    said = feed.position
    quietMs = 0
    writer.write(message(said, { position: said }, 'caught-up'))
  }
  let openMs = 0
  const ticking = setInterval(() => {
    openMs += limits.sseProgressMs
    if (openMs % limits.keyCacheMs === 0) asked.authorize().catch(end)
    quietMs += limits.sseProgressMs
    if (!writer.idle()) return
    if (caughtUp) sayWhere()
    if (quietMs < limits.sseKeepAliveMs) return
    quietMs = 0
    writer.write(': keep-alive\n\n')
  }, limits.sseProgressMs)

  async function run(): Promise<void> {
    const entries = store.subscribe({
      ...options,
      logId,
      signal: AbortSignal.any([signal, gone.signal]),
      onCaughtUp(position) {
        feed.position = position
        if (!caughtUp) sayWhere()
        caughtUp = true
      },
    })
    writer.write(`retry: ${limits.sseRetryMs}\n\n`)
    try {
      for await (const entry of entries) {
        feed.position = entry.position ?? feed.position
        caughtUp = false
        quietMs = 0
        writer.write(message(feed.position, entry))
        await writer.room()
      }
      end()
    } catch (error) {
      end(error)
    }
  }

  /** A feed ends by what went wrong, if anything did; also one whose caller may not have it any more. */
  function end(error?: unknown): void {
    if (error !== undefined) {
      const { problem } = problemOf(error, asked.requestId)
      writer.write(`event: problem\ndata: ${JSON.stringify(problem)}\n\n`)
    }
    clearInterval(ticking)
    feeds.delete(feed)
    writer.end()
    gone.abort()
  }

  return new Response(
    writer.open(run, () => gone.abort()),
    {
      headers: {
        'content-type': 'text/event-stream',
        'cache-control': 'no-store, no-transform',
        // Proxies that gather answers before they pass them on must not.
        'x-accel-buffering': 'no',
      },
    },
  )
}

/** The position of a `Last-Event-ID`, and the log that it belongs to. Undefined for what is none. */
export function parseEventId(id: string): { readonly logId: string; readonly after: number } | undefined {
  const [, logId, digits] = /^(.{1,64}):(\d{1,15})$/.exec(id) ?? []
  return logId === undefined ? undefined : { logId, after: Number(digits) }
}

/** Gathers what is written in one turn of the event loop into one chunk, and tells when there is room for more. */
function createWriter() {
  const encoder = new TextEncoder()
  let controller: ReadableStreamDefaultController<Uint8Array> | undefined
  let waiting = ''
  let ended = false
  let drained = () => {}

  const flush = () => {
    if (waiting === '' || ended || controller === undefined) return
    controller.enqueue(encoder.encode(waiting))
    waiting = ''
  }
  return {
    write(text: string) {
      if (ended) return
      if (waiting === '') void turn().then(flush)
      waiting += text
    },
    /** Nothing is held for the client. */
    idle: () => (controller?.desiredSize ?? 1) > 0,
    /** Resolves when little enough is held for the client: a chunk on its way, and one that waits. */
    async room() {
      if (waiting.length >= chunkCharacters) flush()
      while (!ended && (controller?.desiredSize ?? 1) < 0) {
        await new Promise<void>((resolve) => {
          drained = resolve
        })
      }
    },
    open(run: () => Promise<void>, onCancel: () => void): ReadableStream<Uint8Array> {
      return new ReadableStream<Uint8Array>({
        start(started) {
          controller = started
          void run()
        },
        pull: () => drained(),
        cancel() {
          ended = true
          drained()
          onCancel()
        },
      })
    },
    end() {
      flush()
      if (!ended) controller?.close()
      ended = true
    },
  }
}
