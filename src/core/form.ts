/**
 * The form in which readers get events: data brought up to the newest version of its type, by what is declared and then
 * by the store's own upcasters; without Daybook's stamp.
 */
import type { AnyEvent, LogEntry } from './event.ts'
import type { Catalogue, InForce } from './in-force.ts'
import { unstamped, versionOf } from './stamp.ts'
import { type Upcaster, upcast } from './upcaster.ts'

/** How old events come up to today's. */
export interface Forms {
  readonly catalogue: Catalogue
  readonly upcasters: readonly Upcaster[]
}

export interface Forming extends Forms {
  /** As they were recorded, stamp and all. */
  readonly raw?: boolean
}

export async function formed<Event extends AnyEvent, Entry extends LogEntry<Event>>(
  { catalogue, upcasters, raw }: Forming,
  entries: readonly Entry[],
): Promise<readonly Entry[]> {
  if (raw || entries.length === 0) return entries
  const known = catalogue.recent() ?? (await catalogue.read())
  // An event may be of a version that was declared since.
  const ahead = entries.some((entry) => isAhead(known, entry))
  const inForce = ahead ? await catalogue.read(performance.now()) : known
  if (inForce.types.size === 0 && upcasters.length === 0 && !ahead) return entries
  return entries.map((entry) => formOf(inForce, upcasters, entry) as Entry)
}

function isAhead({ types }: InForce, entry: LogEntry): boolean {
  if (entry.forgotten || entry.meta === null) return false
  const version = versionOf(entry.meta)
  return version > 0 && version > (types.get(entry.type)?.declared.version ?? 0)
}

function formOf({ types }: InForce, upcasters: readonly Upcaster[], entry: LogEntry): LogEntry {
  if (entry.forgotten) return entry
  const declared = types.get(entry.type)
  const meta = unstamped(entry.meta)
  const data =
    declared === undefined || entry.tombstone ? entry.data : declared.upcast(entry.data, versionOf(entry.meta))
  const same = meta === entry.meta && data === entry.data
  return upcast(upcasters, same ? entry : { ...entry, data, meta })
}
