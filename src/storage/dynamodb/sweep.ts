/** The sweep looks through the whole table for records without a position, and gives them one: it heals any outage. */
import type { Table } from './driver.ts'
import type { Item, MarkItem, RecordItem } from './items.ts'
import { type Sequencing, sequence } from './sequence.ts'
import type { RecordHint } from './session.ts'

/** Parts of the table that are looked through side by side. */
const segments = 4
/** Records that are gathered before they are sequenced. */
const hintsAtOnce = 1_000

type Place = (hints: readonly RecordHint[]) => Promise<number>

/** Says how many records got a position; `onLooked` hears of items that were looked at. */
export async function sweep(sequencing: Sequencing, onLooked = (_: number) => {}): Promise<number> {
  const { table } = sequencing.session
  let last: Promise<unknown> = Promise.resolve()
  // Parts that sequence side by side would be rivals.
  const place: Place = (hints) => {
    const placed = last.then(() => sequence(sequencing, hints))
    last = placed.catch(() => {})
    return placed
  }
  const parts = Array.from({ length: segments }, (_, segment) => sweepPart(table, segment, { place, onLooked }))
  return (await Promise.all(parts)).reduce((all, part) => all + part, 0)
}

async function sweepPart(
  table: Table,
  segment: number,
  { place, onLooked }: { readonly place: Place; readonly onLooked: (items: number) => void },
): Promise<number> {
  let done = 0
  let hints: RecordHint[] = []
  let stream = ''
  let marked = new Set<number>()
  for await (const items of table.scan({ segment, total: segments })) {
    onLooked(items.length)
    for (const item of items) {
      if (!item.pk.startsWith('s#')) continue
      // In a stream's partition the marks come before the records.
      if (item.pk !== stream) {
        stream = item.pk
        marked = new Set()
      }
      const revision = Number(item.sk.slice(1))
      if (isMark(item)) marked.add(revision)
      else if (!marked.has(revision)) hints.push({ stream: stream.slice(2), revision, item: item as Item & RecordItem })
    }
    if (hints.length >= hintsAtOnce) {
      done += await place(hints)
      hints = []
    }
  }
  return done + (await place(hints))
}

function isMark(item: Item): item is Item & MarkItem {
  return item.sk.startsWith('p')
}
