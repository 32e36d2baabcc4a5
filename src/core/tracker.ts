/**
 * Checkpoints of who works on many events at a time: how far the log was looked at, and what of it is not finished yet. So
 * a slow event keeps none that came after it from counting as done.
 */

export interface Checkpoint {
  readonly scanned: number
  /** Positions up to `scanned` that are not finished, in order. */
  readonly open: readonly number[]
}

/** The position up to which everything is finished. */
export function finishedTo({ scanned, open }: Checkpoint): number {
  return (open[0] ?? scanned + 1) - 1
}

export interface Tracker {
  readonly scanned: number
  /** How many are not finished. */
  readonly size: number
  isOpen(position: number): boolean
  begin(position: number): void
  finish(position: number): void
  /** Everything up to here was begun or is of no interest. */
  advance(scanned: number): void
  /** As it will be once these are finished as well. */
  checkpoint(finishing?: readonly number[]): Checkpoint
}

export function createTracker(from: Checkpoint): Tracker {
  const open = new Set(from.open)
  let { scanned } = from
  return {
    get scanned() {
      return scanned
    },
    get size() {
      return open.size
    },
    isOpen: (position) => open.has(position),
    begin: (position) => void open.add(position),
    finish: (position) => void open.delete(position),
    advance(position) {
      scanned = Math.max(scanned, position)
    },
    checkpoint: (finishing = []) => ({
      scanned,
      open: [...open].filter((position) => !finishing.includes(position)).sort((a, b) => a - b),
    }),
  }
}
