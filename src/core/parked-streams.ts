/** Which streams of a consumer are parked, as the process that has it knows them: asked for as they are met, and kept. */
import type { LogEntry } from './event.ts'
import { limits } from './limits.ts'
import { type Parked, parkedKey, parkedOf } from './parked.ts'
import type { Storage } from './storage.ts'
import { backoffMs, sleep } from './turn.ts'

/** A stream that is parked. */
export interface Waiting {
  readonly item: Parked
  /** Revision of the newest event that was passed over. */
  last: number
  replaying: boolean
  /** It came while the stream was being replayed: it is delivered in any case. */
  tombstone?: LogEntry
}

export interface ParkedStreams {
  /** At least as many as there are. */
  readonly count: number
  get(stream: string): Waiting | undefined
  /** One is about to be written. */
  expect(): void
  /** It was written. */
  park(item: Parked): Waiting
  /** One that was read. Undefined: it is on its way off the list, whatever was read. */
  meet(item: Parked): Waiting | undefined
  /** Asks which streams of these are parked. None where none is at all, so that usually nothing is asked. */
  learn(entries: readonly LogEntry[], isLive: (stream: string) => boolean): Promise<void>
  /** From now on its events are delivered as they come; `remove` writes that, and calls `gone` when it is written. */
  unpark(stream: string, remove: (gone: () => void) => Promise<unknown>): Promise<void>
}

export function createParkedStreams({
  storage,
  of,
  count: from,
  halting,
}: {
  readonly storage: Pick<Storage, 'getDocuments'>
  readonly of: string
  readonly count: number
  readonly halting: AbortSignal
}): ParkedStreams {
  const streams = new Map<string, Waiting>()
  const leaving = new Set<string>()
  let count = from
  /** How many have left the list: what was read of it before may be wrong. */
  let left = 0

  function park(item: Parked): Waiting {
    const waiting = streams.get(item.item) ?? { item, last: 0, replaying: false }
    streams.set(item.item, waiting)
    return waiting
  }

  function meet(item: Parked): Waiting | undefined {
    return leaving.has(item.item) ? undefined : park(item)
  }

  function patience(failures: number): Promise<void> {
    return sleep(backoffMs(failures, limits.subscribeBackoffMs, limits.subscribeBackoffMsMax), halting)
  }

  return {
    get count() {
      return count
    },
    get: (stream) => streams.get(stream),
    expect() {
      count++
    },
    park,
    meet,
    async learn(entries, isLive) {
      const known = (stream: string) => streams.has(stream) || leaving.has(stream) || isLive(stream)
      for (let failures = 0; count > 0 && !halting.aborted; ) {
        const unknown = [...new Set(entries.map(({ stream }) => stream))].filter((stream) => !known(stream))
        if (unknown.length === 0) return
        const before = left
        try {
          const found = await storage.getDocuments(unknown.map((stream) => parkedKey(of, stream)))
          if (before !== left) continue
          for (const document of found) if (document) meet(parkedOf(document))
          return
        } catch {
          await patience(++failures)
        }
      }
    },
    async unpark(stream, remove) {
      streams.delete(stream)
      leaving.add(stream)
      const gone = () => {
        leaving.delete(stream)
        left++
        count--
      }
      for (let failures = 0; !halting.aborted || failures === 0; ) {
        try {
          await remove(gone)
          return
        } catch {
          await patience(++failures)
        }
      }
    },
  }
}
