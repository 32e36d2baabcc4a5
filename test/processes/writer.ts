/**
 * A process that writes to a store until it is done or killed: `node writer.ts '{"url":…,"writer":…,"callers":…,"count":…}'`.
 * Each caller appends to a stream of its own and puts a document beside it that counts the same; what was acknowledged
 * is on the standard output before the next commit begins. What fails in a way that may heal is done again.
 */
import { writeSync } from 'node:fs'
import { commitOf, event } from '../../src/conformance/kit.ts'
import { createCommitQueue } from '../../src/core/commit-queue.ts'
import { putDocument } from '../../src/core/document.ts'
import { isStoreError, StoreBusy } from '../../src/core/errors.ts'
import type { CollectionSpec } from '../../src/core/storage.ts'
import { sleep } from '../../src/core/turn.ts'
import { openStorage } from '../../src/open.ts'

export interface WriterOptions {
  readonly url: string
  readonly writer: string
  readonly callers: number
  /** Commits of each caller. */
  readonly count: number
}

export interface Acknowledged {
  readonly stream: string
  readonly revision: number
  readonly position: number
  readonly id: string
}

export const counters: CollectionSpec = { collection: 'counters', indexes: [] }

async function write({ url, writer, callers, count }: WriterOptions): Promise<void> {
  const storage = await healing(() => openStorage(url))
  await healing(() => storage.declare([counters]))
  const queue = createCommitQueue(storage)

  async function call(caller: number): Promise<void> {
    const stream = `seat/${writer}-${caller}`
    const key = { collection: counters.collection, key: stream }
    for (let turn = 0; turn < count; turn++) {
      const [document] = await healing(() => storage.getDocuments([key]))
      const before = document ? (JSON.parse(document.body) as { count: number }).count : 0
      const happened = event('Happened', {
        data: { turn, fill: 'x'.repeat((turn * 97) % 2_000) },
        tags: [`writer:${writer}`],
      })
      const guard = document ? ({ is: 'version', version: document.version } as const) : ({ is: 'absent' } as const)
      const commit = commitOf([{ stream, expected: before, events: [happened] }], {
        documents: putDocument(counters, { key: stream, body: { count: before + 1 }, if: guard }),
      })
      const outcome = await healing(async () => {
        const outcome = await queue.add(commit)
        if (outcome.outcome === 'busy') throw new StoreBusy('busy', outcome.retryAfterMs)
        return outcome
      })
      const appended = outcome.outcome === 'committed' ? outcome.streams[0] : undefined
      if (appended === undefined) throw new Error(`${stream}: ${JSON.stringify(outcome)}`)
      const acknowledged = { stream, revision: appended.last, position: appended.position ?? 0, id: happened.id }
      writeSync(1, `${JSON.stringify(acknowledged satisfies Acknowledged)}\n`)
    }
  }

  await Promise.all(Array.from({ length: callers }, (_, caller) => call(caller)))
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
