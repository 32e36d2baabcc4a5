/**
 * A process that writes to a store until it is done or killed: `node writer.ts '{"url":…,"writer":…,"callers":…,"count":…}'`.
 * Each caller appends to a stream of its own and puts a document beside it that counts the same; plain callers put nothing
 * beside. What was acknowledged is on the standard output before the next commit begins. What fails in a way that may heal
 * is done again.
 */
import { writeSync } from 'node:fs'
import { commitOf, event } from '../../src/conformance/kit.ts'
import { createCommitQueue } from '../../src/core/commit-queue.ts'
import { putDocument } from '../../src/core/document.ts'
import { isStoreError, StoreBusy } from '../../src/core/errors.ts'
import type { CollectionSpec, DocumentWrite, StreamAppend } from '../../src/core/storage.ts'
import { sleep } from '../../src/core/turn.ts'
import { openStorage } from '../../src/open.ts'

export interface WriterOptions {
  readonly url: string
  readonly writer: string
  readonly callers: number
  /** Further callers that only append, with a revision and without one in turn. */
  readonly plain?: number
  /** Commits of each caller. */
  readonly count: number
  /** A rest after each of them; default none. */
  readonly restMs?: number
}

export interface Acknowledged {
  readonly stream: string
  readonly revision: number
  /** Where it was known at once. */
  readonly position?: number
  readonly id: string
}

export const counters: CollectionSpec = { collection: 'counters', indexes: [] }

async function write({ url, writer, callers, plain = 0, count, restMs = 0 }: WriterOptions): Promise<void> {
  const storage = await healing(() => openStorage(url))
  await healing(() => storage.declare([counters]))
  const queue = createCommitQueue(storage)

  async function call(caller: number): Promise<void> {
    const stream = `seat/${writer}-${caller}`
    const key = { collection: counters.collection, key: stream }
    for (let turn = 0; turn < count; turn++) {
      const [document] = await healing(() => storage.getDocuments([key]))
      const before = document ? (JSON.parse(document.body) as { count: number }).count : 0
      const guard = document ? ({ is: 'version', version: document.version } as const) : ({ is: 'absent' } as const)
      const documents = putDocument(counters, { key: stream, body: { count: before + 1 }, if: guard })
      await commit({ stream, expected: before, events: [happened(turn)] }, documents)
    }
  }

  async function callPlainly(caller: number): Promise<void> {
    const stream = `plain/${writer}-${caller}`
    for (let turn = 0; turn < count; turn++) {
      await commit({ stream, expected: turn % 2 ? turn : 'any', events: [happened(turn)] })
    }
  }

  function happened(turn: number) {
    const data = { turn, fill: 'x'.repeat((turn * 97) % 2_000) }
    return event('Happened', { data, tags: [`writer:${writer}`] })
  }

  async function commit(append: StreamAppend, documents: readonly DocumentWrite[] = []): Promise<void> {
    const one = commitOf([append], { documents })
    const outcome = await healing(async () => {
      const outcome = await queue.add(one)
      if (outcome.outcome === 'busy') throw new StoreBusy('busy', outcome.retryAfterMs)
      return outcome
    })
    const appended = outcome.outcome === 'committed' ? outcome.streams[0] : undefined
    if (appended === undefined) throw new Error(`${append.stream}: ${JSON.stringify(outcome)}`)
    const { last: revision, position } = appended
    const [{ id } = { id: '' }] = append.events
    const acknowledged = { stream: append.stream, revision, id, ...(position !== undefined && { position }) }
    writeSync(1, `${JSON.stringify(acknowledged satisfies Acknowledged)}\n`)
    if (restMs > 0) await sleep(restMs)
  }

  const indexes = (length: number) => Array.from({ length }, (_, index) => index)
  await Promise.all([...indexes(callers).map(call), ...indexes(plain).map(callPlainly)])
  await queue.close()
  await storage.close()
}

/** Tries again for half a minute; a commit that is repeated is the same one by its ids. */
async function healing<Result>(run: () => Promise<Result>): Promise<Result> {
  for (let tries = 1; ; tries++) {
    try {
      return await run()
    } catch (error) {
      const heals = isStoreError(error) && ['outcome-unknown', 'store-busy', 'storage-failed'].includes(error.code)
      if (!heals || tries === 600) throw error
      await sleep(50)
    }
  }
}

const [options] = process.argv.slice(2)
if (options !== undefined) await write(JSON.parse(options) as WriterOptions)
