/** Side by side: contenders take turns, round by round, so that a machine whose speed drifts is as fair to one as to the other. */

/** One round's work; answers how many units it did. */
export type Contender = () => Promise<number>

export interface Measured {
  readonly name: string
  /** Units a second, of each round. */
  readonly rates: readonly number[]
}

export async function sideBySide(
  contenders: Readonly<Record<string, Contender>>,
  rounds: number,
): Promise<readonly Measured[]> {
  const rates = new Map<string, number[]>(Object.keys(contenders).map((name) => [name, []]))
  for (const run of Object.values(contenders)) await run()
  for (let round = 0; round < rounds; round++) {
    for (const [name, run] of Object.entries(contenders)) {
      const started = performance.now()
      const units = await run()
      rates.get(name)?.push((units / (performance.now() - started)) * 1_000)
    }
  }
  return [...rates].map(([name, rates]) => ({ name, rates }))
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  const [low = 0, high = 0] =
    sorted.length % 2 ? [sorted[middle], sorted[middle]] : [sorted[middle - 1], sorted[middle]]
  return (low + high) / 2
}

/** The median of the ratios round by round. */
export function ratio(mine: Measured, other: Measured): number {
  return median(mine.rates.map((rate, round) => rate / (other.rates[round] ?? Number.NaN)))
}
