/**
 * Signs of a sequencer that is fed by the table's changes. A change lives a day: where nobody was at work for half of one,
 * or the changes that come are almost a day old, some may have gone unseen, and a sweep is due.
 */
import { put, type Table } from './driver.ts'
import { type LifeItem, lifeKey, type SweepItem, sweepKey } from './items.ts'

export interface Signs {
  /** Whether a sweep is due, and none was begun lately; `oldest` of the changes that have come, epoch milliseconds. */
  sweepDue(oldest: number): Promise<boolean>
  /** Begins the sweep that is due; false where another sequencer was faster. */
  claimSweep(): Promise<boolean>
  /** The sequencer is at work; written every few minutes. */
  live(): Promise<void>
  sweepBegins(): Promise<void>
  sweepEnds(): Promise<void>
}

const hourMs = 3_600_000
/** How long nobody may have been at work, and how old a change may be. */
const silentMs = 12 * hourMs
const changeMs = 23 * hourMs
/** Between sweeps, and until one that did not end is begun again: one that takes too long must not hold up the rest. */
const sweepsMs = 12 * hourMs
const unfinishedMs = hourMs
/** How often the signs are looked at and renewed. */
const signMs = 300_000

export function createSigns(table: Table, clock: () => number): Signs {
  let looked = Number.NEGATIVE_INFINITY
  let begun = Number.NEGATIVE_INFINITY
  let lived = Number.NEGATIVE_INFINITY

  const sweepItem = (done: boolean): SweepItem => ({ ...sweepKey, t: begun, ...(done && { done: 1 as const }) })

  return {
    async sweepDue(oldest) {
      const now = clock()
      const late = now - oldest > changeMs && now - begun > sweepsMs
      if (now - looked < signMs && !late) return false
      const [life, sweep] = (await table.getMany([lifeKey, sweepKey])) as [LifeItem?, SweepItem?]
      looked = now
      lived = life?.t ?? Number.NEGATIVE_INFINITY
      begun = sweep?.t ?? Number.NEGATIVE_INFINITY
      if (sweep !== undefined && sweep.done === undefined) return now - begun > unfinishedMs
      return now - begun > sweepsMs && (now - lived > silentMs || now - oldest > changeMs)
    },
    async claimSweep() {
      const seen = begun
      begun = clock()
      const known = { is: 'equal', attribute: 't', value: seen } as const
      const guard = Number.isFinite(seen) ? known : ({ is: 'absent' } as const)
      return (await table.write(put(sweepItem(false), guard))).written
    },
    async live() {
      const now = clock()
      if (now - lived < signMs) return
      const item: LifeItem = { ...lifeKey, t: now }
      await table.write(put(item, { is: 'below', attribute: 't', value: now }))
      lived = now
    },
    async sweepBegins() {
      begun = clock()
      await table.write(put(sweepItem(false), { is: 'below', attribute: 't', value: begun }))
    },
    async sweepEnds() {
      // Where another one has begun since, that one's end counts.
      await table.write(put(sweepItem(true), { is: 'equal', attribute: 't', value: begun }))
    },
  }
}
