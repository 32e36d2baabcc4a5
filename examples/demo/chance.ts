/** Numbers from 0 to below 1 that look random and come out the same each time, and what is drawn with them. */
import { derivedId } from 'daybook'

export type Chance = () => number

export function chances(...seed: readonly (string | number)[]): Chance {
  let drawn = 0
  return () => Number.parseInt(derivedId(['demo chance', ...seed, drawn++]).slice(0, 8), 16) / 0x1_0000_0000
}

export function pick<Item>(items: readonly Item[], chance: Chance): Item {
  return items[Math.floor(chance() * items.length)] as Item
}

/** Some at a time, each one whole before the same place takes the next; ends early where the signal says so. */
export async function eachOf(count: number, signal: AbortSignal, run: (index: number) => Promise<void>): Promise<void> {
  let next = 0
  const work = async () => {
    while (next < count && !signal.aborted) await run(next++)
  }
  await Promise.all(Array.from({ length: 16 }, work))
}

const listed = (names: string) => names.split(' ')
export const firstNames = listed(
  'Ada Amir Anna Bela Carla Chidi Dana Edith Emil Farah Greta Hugo Ines Jonas Kofi Lena Mara Mehmet ' +
    'Nora Olga Paul Quentin Ravi Ruth Sofia Tove Uma Viktor',
)
export const surnames = listed(
  'Abara Bell Castro Dahl Egger Fletcher Gruber Haddad Iversen Jansen Keller Lund Moreau Novak Okafor ' +
    'Petrov Quist Rossi Schmid Tanaka Ulrich Vidal Weber Zhang',
)
