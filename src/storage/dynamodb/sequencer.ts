/**
 * The sequencer in process: it gives positions to what this storage object has written. Rivals are safe but waste
 * requests, so once one was met they take turns. A process that dies leaves its name behind as one that was writing, and
 * whoever finds that looks through the whole table for what has no position.
 */
import type { Clock } from '../../core/time.ts'
import { backoffMs, sleep } from '../../core/turn.ts'
import { put, type Table } from './driver.ts'
import { type WriterItem, writerKey } from './items.ts'
import type { Listing } from './listing.ts'
import { rememberPlaced, type Sequencing, sequence } from './sequence.ts'
import type { RecordHint, Session } from './session.ts'
import { sweep } from './sweep.ts'
import { createTurns } from './turns.ts'

export interface Sequencer {
  hint(hint: RecordHint): void
  /** Before a write: from here on a crash is noticed by others. */
  writing(): Promise<void>
  /** Resolves when all that was hinted so far has a position. */
  settled(): Promise<void>
  readonly waiting: number
  close(): Promise<void>
}

export interface SequencerOptions {
  readonly session: Session
  readonly listing: Listing
  /** A page was written. */
  readonly onPage: () => void
}

/** How often a writer shows that it lives, and after how long without a sign it is taken for dead. */
const signMs = 5_000
const deadMs = 20_000
/** Hints that are worked through at once. */
const hintsAtOnce = 2_000

export function createSequencer({ session, listing, onPage }: SequencerOptions): Sequencer {
  const me = crypto.randomUUID()
  const { table } = session
  const turns = createTurns(table)
  let hints: RecordHint[] = []
  let running: Promise<void> | undefined
  let closed = false
  let tries = 0
  const sequencing: Sequencing = {
    session,
    placed: rememberPlaced(),
    onPage(page) {
      listing.wrote(page)
      onPage()
    },
    onRival: turns.met,
  }
  const presence = createPresence(table, me, {
    clock: session.clock,
    isIdle: () => hints.length === 0 && running === undefined,
    // What it left lies anywhere.
    onDead: () => sweep(sequencing),
  })

  async function run(): Promise<void> {
    while (hints.length > 0) {
      const some = hints.slice(0, hintsAtOnce)
      hints = hints.slice(hintsAtOnce)
      try {
        await turns.take(() => sequence(sequencing, some))
        listing.catchUpLater()
        tries = 0
      } catch {
        // Nothing is lost: they are tried again, here or by others.
        hints = [...some, ...hints]
        if (closed && tries > closeTries) return
        await sleep(backoffMs(Math.min(++tries, 10), 20, 5_000))
      }
    }
  }

  function start(): void {
    running ??= run().finally(() => {
      running = undefined
      if (hints.length > 0 && !closed) start()
    })
  }

  return {
    hint(hint) {
      hints.push(hint)
      start()
    },
    writing: () => presence.show(),
    async settled() {
      while (running !== undefined) await running
    },
    get waiting() {
      return hints.length
    },
    async close() {
      closed = true
      await running
      await presence.close(hints.length === 0)
    },
  }
}

/** How often a sequencer that closes tries to get rid of its hints; what is left others find. */
const closeTries = 3

interface Presence {
  show(): Promise<void>
  close(clean: boolean): Promise<void>
}

/** Shows that this process is writing, and looks after those that have stopped to show it. */
function createPresence(
  table: Table,
  me: string,
  {
    clock,
    isIdle,
    onDead,
  }: { readonly clock: Clock; readonly isIdle: () => boolean; readonly onDead: () => Promise<unknown> },
): Presence {
  const others = new Map<string, { beat: number; since: number }>()
  let beat = 0
  let shownAt = 0
  let shown: Promise<unknown> | undefined
  let wrote = false
  let looking: Promise<void> | undefined
  let closed = false

  const sign = (): WriterItem => ({ ...writerKey(me), beat: ++beat })
  const show = () => {
    shownAt = clock()
    return table.write(put(sign(), { is: 'anything' }))
  }
  const remove = () => table.write({ write: 'delete', key: writerKey(me), if: { is: 'anything' } })

  async function look(): Promise<void> {
    if (shown !== undefined) {
      if (!wrote && isIdle()) {
        shown = undefined
        await remove()
        // A write that began meanwhile has shown itself anew, maybe before the removal.
        if (shown !== undefined) await show()
      } else await show()
      wrote = false
    }
    const { pk } = writerKey('')
    const { items } = await table.query({ pk, from: '\0', to: '~', direction: 'forwards', limit: 1_000 })
    const now = performance.now()
    for (const item of items as readonly WriterItem[]) {
      const known = others.get(item.sk)
      if (item.sk === me || known?.beat !== item.beat) {
        others.set(item.sk, { beat: item.beat, since: now })
      } else if (now - known.since > deadMs) {
        await onDead()
        await table.write({ write: 'delete', key: item, if: { is: 'equal', attribute: 'beat', value: item.beat } })
        others.delete(item.sk)
      }
    }
  }

  const timer = setInterval(() => {
    // Whatever breaks is tried again with the next sign.
    looking ??= look()
      .catch(() => {})
      .finally(() => {
        looking = undefined
      })
  }, signMs)
  timer.unref()

  return {
    async show() {
      wrote = true
      // A process that was stopped for long may have been taken for dead, and its name removed.
      if (clock() - shownAt > deadMs / 2) shown = undefined
      shown ??= show().catch((error) => {
        shown = undefined
        throw error
      })
      await shown
    },
    async close(clean) {
      if (closed) return
      closed = true
      clearInterval(timer)
      await looking
      if (clean && shown !== undefined) await remove().catch(() => {})
    },
  }
}
