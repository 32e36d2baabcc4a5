/** How much of a long run is done, and its chance: `LONG_SHARE=0.1` does a tenth, `LONG_SEED` repeats a run. */

export const share = Number(process.env['LONG_SHARE'] ?? 1)
export const seed = Number(process.env['LONG_SEED'] ?? Date.now() % 1_000_000)

export function times(count: number): number {
  return Math.max(1, Math.round(count * share))
}

/** Numbers from 0 to 1 that follow from the seed (mulberry32). */
export function chance(from: number): () => number {
  let state = from >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
