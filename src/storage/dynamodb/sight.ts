/**
 * What is in sight. The engine's reads are consistent item by item: while a transaction is being written, some of its
 * items may be seen and others not yet, and a query is no snapshot of its partition. What follows from something seen
 * must be there, so it is looked for until it is; to go on without it would be to take half a commit for a whole one.
 */
import type { Table } from './driver.ts'
import type { Item, Key } from './items.ts'

/** A transaction is written within milliseconds; this is about a second. */
const sightTries = 8

/** Looks until it is whole; throws where it does not become so. */
export async function inSight<Found>(
  table: Table,
  look: () => Promise<Found>,
  isWhole: (found: Found) => boolean,
): Promise<Found> {
  for (let tries = 1; ; tries++) {
    const found = await look()
    if (isWhole(found)) return found
    if (tries === sightTries) throw new Error('a part of what a transaction has written does not come into sight')
    await table.pause(tries)
  }
}

/** Items that must be there, in the order of their keys. */
export async function getThere(table: Table, keys: readonly Key[]): Promise<readonly Item[]> {
  const found = await inSight(
    table,
    () => table.getMany(keys),
    (items) => !items.includes(undefined),
  )
  return found.filter((item) => item !== undefined)
}
