/**
 * Boundaries: what conditions and decision reads go by. Each record has a link under each of its boundary tags, at a
 * dense ordinal; that the next ordinal is still free says that nothing has come.
 */
import { InvalidArgument, PositionBeyondHead, Unsupported } from '../../core/errors.ts'
import { limits } from '../../core/limits.ts'
import { type AppendCondition, type EventQuery, matchesQuery, type QueryItem } from '../../core/query.ts'
import type { BoundaryPage, CommitOutcome, Position } from '../../core/storage.ts'
import { labelsOf, recordOf, type Slot, slotsOf } from './body.ts'
import { closingStreams, readHead } from './feed.ts'
import { type LinkItem, linkKey, numberOf, padded, type RecordItem, recordKey } from './items.ts'
import { isBoundaryTag, type Session } from './session.ts'
import { positionsOf } from './stream.ts'

/** The newest link under a tag, by the tag's keyed hash. */
export type TagEnds = ReadonlyMap<string, number>

/** Links that are looked through at once. */
const linkPage = 100

/** The tag's newest ordinal; 0 where it has none. */
export async function lastOrdinal({ table }: Session, tag: string): Promise<number> {
  const { pk } = linkKey(tag, 0)
  const all = { pk, from: `v${padded(0)}`, to: `v${padded(Number.MAX_SAFE_INTEGER)}` }
  const { items } = await table.query({ ...all, direction: 'backwards', limit: 1 })
  return items[0] ? numberOf(items[0]) : 0
}

export function tagHash(session: Session, tag: string): string {
  return session.hash(`tag ${tag}`)
}

/**
 * The ordinals behind which nothing may come for the condition to hold, or why it fails. A forgotten record that came
 * after fails it, for its type can no longer be asked; of the whole log it matches nothing.
 */
export async function checkCondition(
  session: Session,
  { query, after = 0, guard }: AppendCondition,
): Promise<TagEnds | CommitOutcome> {
  const seen = guard === undefined ? undefined : parseGuard(guard)
  if (seen === 'foreign') {
    const cause = new InvalidArgument('condition.guard', 'was not given by a decision read of this store')
    return { outcome: 'failed', cause }
  }
  if (after > 0) {
    const head = await readHead(session)
    if (after > head) return { outcome: 'failed', cause: new PositionBeyondHead({ position: after, head }) }
  }
  const ends = new Map<string, number>()
  for (const item of query) {
    const tags = boundaryTags(session, item)
    if (tags.length === 0) return { outcome: 'failed', cause: noBoundaryTag(session, item) }
    const asked = seen ? tags.filter((tag) => seen.has(tag)) : tags
    if (asked.length === 0) {
      const cause = new InvalidArgument('condition.guard', 'was given by a decision read of another query')
      return { outcome: 'failed', cause }
    }
    const [tag, end] = await leastBusy(session, asked)
    const floor = seen?.get(tag) ?? 0
    const failed = await findMatch(session, [item], { tag, end, floor, after, open: after === 0 && seen === undefined })
    if (failed !== undefined) return failed
    ends.set(tag, end)
  }
  return ends
}

/** Newest first, so that what has just come is found at once. */
async function findMatch(
  session: Session,
  query: EventQuery,
  range: { tag: string; end: number; floor: number; after: Position; open: boolean },
): Promise<CommitOutcome | undefined> {
  const { tag, floor, after, open } = range
  let closing: ReadonlySet<string> | undefined
  for (let end = range.end; end > floor; end -= linkPage) {
    const links = await readLinks(session, tag, { from: Math.max(floor, end - linkPage) + 1, to: end })
    const positions =
      after === 0
        ? []
        : await positionsOf(
            session,
            links.map(({ st, r }) => ({ stream: st, revision: r })),
          )
    for (let index = links.length - 1; index >= 0; index--) {
      const link = links[index] as LinkItem
      const position = positions[index]
      if (position !== undefined && position <= after) return undefined
      if (link.ty !== undefined && !mayMatch(query, link.ty)) continue
      closing ??= await closingStreams(session)
      const forgotten = link.ty === undefined || closing.has(link.st)
      if (forgotten && open) continue
      const failed = (revision: number): CommitOutcome => ({
        outcome: 'condition-failed',
        stream: link.st,
        revision,
        ...(position !== undefined && { position: position + revision - link.r }),
      })
      if (forgotten) return failed(link.r)
      const slot = (await slotsOfLinks(session, [link])).find(({ slot }) => matches(query, slot))
      if (slot) return failed(slot.slot.revision)
    }
  }
  return undefined
}

function mayMatch(query: EventQuery, types: readonly string[]): boolean {
  return query.some((item) => !item.types?.length || item.types.some((type) => types.includes(type)))
}

function matches(query: EventQuery, slot: Slot): boolean {
  const labels = labelsOf(slot)
  return labels !== undefined && slot.state !== 'tombstone' && matchesQuery(query, labels)
}

async function readLinks(
  { table }: Session,
  tag: string,
  { from, to }: { from: number; to: number },
): Promise<readonly LinkItem[]> {
  const { pk } = linkKey(tag, 0)
  const range = { pk, from: `v${padded(from)}`, to: `v${padded(to)}`, direction: 'forwards' as const }
  const { items } = await table.query({ ...range, limit: to - from + 1 })
  return items as readonly LinkItem[]
}

async function slotsOfLinks(
  { table }: Session,
  links: readonly LinkItem[],
): Promise<readonly { readonly link: LinkItem; readonly slot: Slot }[]> {
  const records = await table.getMany(links.map(({ st, r }) => recordKey(st, r)))
  const slots = await Promise.all(
    links.map(async (link, index) => {
      const record = records[index] as RecordItem | undefined
      return (record ? await slotsOf(table, link.st, [record]) : []).map((slot) => ({ link, slot }))
    }),
  )
  return slots.flat()
}

interface Candidate {
  readonly slot: Slot
  /** Of the event; absent while the sequencer has not come by. */
  readonly position?: Position | undefined
}

/**
 * The head is read first: what lies up to it was written, link and all, before. So positions up to it are complete, and
 * what lies beyond or has none yet comes at the end, with the guard that covers it.
 */
export async function readBoundary(
  session: Session,
  query: EventQuery,
  { from, limit }: { readonly from: Position; readonly limit: number },
): Promise<BoundaryPage> {
  const head = await readHead(session)
  if (from > head) throw new PositionBeyondHead({ position: from, head })
  const found = new Map<string, Candidate>()
  const ends = new Map<string, number>()
  for (const item of query) {
    const tags = boundaryTags(session, item)
    if (tags.length === 0) throw noBoundaryTag(session, item)
    const [tag, end] = await leastBusy(session, tags)
    ends.set(tag, end)
    for (const candidate of await candidatesOf(session, item, { tag, end, from, head, limit })) {
      found.set(`${candidate.slot.stream} ${candidate.slot.revision}`, candidate)
    }
  }
  const closing = await closingStreams(session)
  const visible = [...found.values()].filter(({ slot }) => !closing.has(slot.stream))
  const placed = visible
    .filter(({ position = Number.POSITIVE_INFINITY }) => position <= head)
    .sort((a, b) => (a.position ?? 0) - (b.position ?? 0))
  const tail = visible.filter(({ position = Number.POSITIVE_INFINITY }) => position > head)
  const page = cutPage(placed, limit)
  const last = page.length === placed.length && (page.length === 0 || page.length + tail.length <= limit)
  const records = (last ? [...page, ...tail] : page)
    .map(({ slot, position }) => recordOf(slot, { position }))
    .filter((record) => record.state === 'stored' || record.state === 'trimmed')
  const scannedTo = page.length < placed.length ? (page.at(-1)?.position ?? from) : head
  return { records, guard: printGuard(ends), scannedTo, more: !last }
}

/** Enough of an item's events beyond a position for one page, and all that has no position up to the head. */
async function candidatesOf(
  session: Session,
  item: QueryItem,
  range: { tag: string; end: number; from: Position; head: Position; limit: number },
): Promise<readonly Candidate[]> {
  const { tag, end, from, head, limit } = range
  const all: Candidate[] = []
  let placed = 0
  for (let start = await firstBeyond(session, { tag, end, position: from }); start <= end; start += linkPage) {
    const links = await readLinks(session, tag, { from: start, to: Math.min(end, start + linkPage - 1) })
    const wanted = links.filter(({ ty }) => ty !== undefined && mayMatch([item], ty))
    const positions = await positionsOf(
      session,
      wanted.map(({ st, r }) => ({ stream: st, revision: r })),
    )
    const byLink = new Map(wanted.map((link, index) => [link, positions[index]]))
    for (const { link, slot } of await slotsOfLinks(session, wanted)) {
      if (!matches([item], slot)) continue
      const first = byLink.get(link)
      const position = first === undefined ? undefined : first + slot.revision - link.r
      if (position !== undefined && position <= from) continue
      all.push({ slot, position })
      if (position !== undefined && position <= head) placed++
    }
    if (placed > limit) break
  }
  return all
}

/** Links lie in the order of their positions, those without one last. */
async function firstBeyond(
  session: Session,
  { tag, end, position }: { tag: string; end: number; position: Position },
): Promise<number> {
  let [known, beyond] = [0, end + 1]
  while (position > 0 && beyond - known > 1) {
    const middle = Math.floor((known + beyond) / 2)
    const [link] = await readLinks(session, tag, { from: middle, to: middle })
    const [first] = link ? await positionsOf(session, [{ stream: link.st, revision: link.r }]) : []
    if (first !== undefined && first <= position) known = middle
    else beyond = middle
  }
  // The record of the link before may reach beyond the position.
  return Math.max(1, known)
}

function cutPage(candidates: readonly Candidate[], limit: number): readonly Candidate[] {
  let bytes = 0
  const end = candidates.findIndex(({ slot }, index) => {
    bytes += slot.content.length
    return index > 0 && (index >= limit || bytes > limits.pageBytes)
  })
  return end < 0 ? candidates : candidates.slice(0, end)
}

/** The item's boundary tags, as keyed hashes. */
function boundaryTags(session: Session, item: QueryItem): readonly string[] {
  return [...new Set(item.tags)].filter((tag) => isBoundaryTag(session, tag)).map((tag) => tagHash(session, tag))
}

function noBoundaryTag({ log }: Session, { tags = [] }: QueryItem): Unsupported {
  const declared = log.tags.map((tag) => `"${tag}…"`).join(', ') || 'none'
  const asked = tags.map((tag) => `"${tag}"`).join(', ') || 'no tag'
  const mend = `each item of a condition or decision read must name a boundary tag (declared: ${declared})`
  return new Unsupported('conditions', `On DynamoDB ${mend}; this one names ${asked}`)
}

async function leastBusy(session: Session, tags: readonly string[]): Promise<readonly [string, number]> {
  const ends = await Promise.all(tags.map(async (tag) => [tag, await lastOrdinal(session, tag)] as const))
  return ends.reduce((least, end) => (end[1] < least[1] ? end : least))
}

function printGuard(ends: TagEnds): string {
  return [...ends].map(([tag, end]) => `${tag}:${end}`).join(',')
}

function parseGuard(guard: string): TagEnds | 'foreign' {
  if (!/^[\w-]{22}:\d{1,15}(,[\w-]{22}:\d{1,15})*$/.test(guard)) return 'foreign'
  return new Map(
    guard.split(',').map((part) => {
      const [tag = '', end] = part.split(':')
      return [tag, Number(end)]
    }),
  )
}
