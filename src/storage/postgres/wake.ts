/**
 * Wake-ups between processes: NOTIFY after each commit, heard by a connection of its own while somebody is subscribed. A
 * slow poll covers what gets lost, and a quicker one stands in where no notification comes through, as behind a pooler.
 */
import { backoffMs, sleep } from '../../core/turn.ts'
import type { Bell } from '../../core/wake.ts'
import { type PostgresClient, rowsOf } from './driver.ts'
import type { Session } from './session.ts'

export interface Waker {
  /** Somebody subscribes: listens until the signal ends it. */
  listen(signal: AbortSignal): AsyncIterable<void>
  /** Something was committed here. Those elsewhere are told soon after, once for all that comes meanwhile. */
  committed(): void
  /** A transaction of the application's is about to bring the log to a position: once it is seen, others are told. */
  expect(position: number): void
  close(): Promise<void>
}

/** How often the log is asked for its head while somebody is subscribed: with notifications, and without. */
const pollMs = 1_000
const deafPollMs = 100
/** How far apart notifications are at least: a commit after a quiet while is told of at once, of many the rest together. */
const tellMs = 10

/** After how long the log is first asked for a position that a transaction of the application's brings; how long at all. */
const expectPollMs = 5
const expectMs = 10_000

export function createWaker({ pool, sql }: Session, channel: string, bell: Bell): Waker {
  let ended: AbortController | undefined
  let listening: Promise<void> | undefined
  let telling: Promise<void> | undefined
  let untold = false
  let awaited: readonly { readonly position: number; readonly until: number }[] = []
  let awaiting: Promise<void> | undefined
  let looks = 0
  const closing = new AbortController()

  /** Listens, and asks now and then, as long as anybody is subscribed. Whatever breaks is begun anew. */
  async function run(signal: AbortSignal): Promise<void> {
    let client: PostgresClient | undefined
    let seen = -1
    let heard = false
    const drop = () => {
      client?.release(true)
      client = undefined
      heard = false
    }
    while (!signal.aborted) {
      try {
        if (client === undefined) {
          const mine = await pool.connect()
          const gone = () => client === mine && drop()
          mine.on('error', gone)
          mine.on('end', gone)
          client = mine
          await rowsOf(mine, `LISTEN ${channel}`)
          // Not before: behind a pooler the answer itself may bring what somebody else's LISTEN has left there.
          mine.on('notification', () => {
            heard = true
            bell.ring()
          })
          // Says whether anything is heard.
          tell()
          // What came before was not.
          seen = -1
        }
        const [row] = await rowsOf<{ head: number }>(pool, sql.head)
        if (row?.head !== seen) bell.ring()
        seen = row?.head ?? seen
      } catch {
        // Whoever is woken reads, and meets the failure where it can be told.
        drop()
        bell.ring()
      }
      await sleep(heard ? pollMs : deafPollMs, signal)
    }
    drop()
  }

  function tell(): void {
    untold = true
    telling ??= (async () => {
      while (untold) {
        untold = false
        await rowsOf(pool, sql.notify, [channel, '']).catch(() => {})
        await sleep(tellMs, closing.signal)
      }
      telling = undefined
    })()
  }

  /** Looks for what is awaited until it is there, or its time is over: then the polls of those who wait must do. */
  async function look(): Promise<void> {
    while (awaited.length > 0 && !closing.signal.aborted) {
      await sleep(backoffMs(++looks, expectPollMs, deafPollMs), closing.signal)
      const [{ head } = { head: 0 }] = await rowsOf<{ head: number }>(pool, sql.head).catch(() => [])
      if (awaited.some(({ position }) => position <= head)) committed()
      const now = performance.now()
      awaited = awaited.filter(({ position, until }) => position > head && until > now)
    }
    awaiting = undefined
  }

  function committed(): void {
    bell.ring()
    tell()
  }

  return {
    async *listen(signal) {
      if (ended === undefined) {
        ended = new AbortController()
        listening = run(ended.signal)
      }
      try {
        yield* bell.listen(signal)
      } finally {
        if (bell.listeners === 0) {
          ended?.abort()
          ended = undefined
        }
      }
    },
    committed,
    expect(position) {
      awaited = [...awaited, { position, until: performance.now() + expectMs }]
      looks = 0
      awaiting ??= look()
    },
    async close() {
      closing.abort()
      ended?.abort()
      await Promise.all([listening, awaiting])
      await telling
    },
  }
}
