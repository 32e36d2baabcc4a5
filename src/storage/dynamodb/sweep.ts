/** The sweep looks through the whole table for records without a position, and gives them one: it heals any outage. */
import type { Item, MarkItem, RecordItem } from './items.ts'
import { type Sequencing, sequence } from './sequence.ts'
import type { RecordHint } from './session.ts'

/** Parts of the table that are looked through side by side. */
const segments = 4
/** Records that are gathered before they are sequenced. */
const hintsAtOnce = 1_000

/** Says how many records got a position. */
export async function sweep(sequencing: Sequencing): Promise<number> {
  const parts = Array.from({ length: segments }, (_, segment) => sweepPart(sequencing, segment))
  return (await Promise.all(parts)).reduce((all, part) => all + part, 0)
}

async function sweepPart(sequencing: Sequencing, segment: number): Promise<number> {
  const { table } = sequencing.session
  let done = 0
  let hints: RecordHint[] = []
  let stream = ''
  let marked = new Set<number>()
  for await (const items of table.scan({ segment, total: segments })) {
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
      done += await sequence(sequencing, hints)
      hints = []
    }
  }
  return done + (await sequence(sequencing, hints))
}

function isMark(item: Item): item is Item & MarkItem {
  return item.sk.startsWith('p')
}
