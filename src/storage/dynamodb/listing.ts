/**
 * Listings of streams by their last update: an item for each stream, which the index `updated` sorts. They are brought up
 * from the feed behind the sequencer, one item for each stream of a page, and are never ahead of it.
 */
import { cursorOrdinal } from '../../core/argument.ts'
import { streamTypeOf } from '../../core/name.ts'
import type { StreamHead, StreamListPage, StreamListQuery } from '../../core/storage.ts'
import { put } from './driver.ts'
import { entriesOf, pagesFrom, positionAsOf, readHead } from './feed.ts'
import { type HeadItem, headKey, type ListedItem, listedKey, numberOf, type PageItem, typeKey } from './items.ts'
import type { Session } from './session.ts'

/** Heads that are written at once. */
const headsAtOnce = 32
/** Streams that are listed before it is said how far. */
const listedStreams = 1_000
/** For how long pages are gathered. A stream that many of them name is then written once. */
const gatherMs = 1_000

export interface Listing {
  /** Brings the listings up to the feed's end; twice at once does no harm. */
  catchUp(): Promise<void>
  /** Soon, with what comes until then. Whoever lists in the meantime catches up first. */
  catchUpLater(): void
  /** The sequencer has just written the page, so it need not be read. */
  wrote(page: PageItem): void
  /** Does what was put off. */
  close(): Promise<void>
}

export function createListing(session: Session): Listing {
  const types = new Set<string>()
  let fresh: PageItem[] = []
  let running: Promise<void> | undefined
  let again = false
  let later: ReturnType<typeof setTimeout> | undefined
  /** How far listings are known to be: they may be further by now. */
  let known = 0

  async function run(): Promise<void> {
    const { table } = session
    const mine = fresh
    fresh = []
    const follows = (from: number) => (page: PageItem, index: number) =>
      numberOf(page) === (mine[index - 1]?.end ?? from) + 1
    const listed =
      known > 0 && mine.length > 0 && mine.every(follows(known))
        ? known
        : (((await table.get(listedKey)) as ListedItem | undefined)?.p ?? 0)
    const contiguous = mine.length > 0 && mine.every(follows(listed))
    if (!contiguous && (await readHead(session)) <= listed) return
    let end = listed
    let heads = new Map<string, HeadItem>()
    const flush = async () => {
      await writeHeads(session, types, [...heads.values()])
      heads = new Map()
      const item: ListedItem = { ...listedKey, p: end }
      if (end > listed) await table.write(put(item, { is: 'below', attribute: 'p', value: end }))
      known = Math.max(known, end)
    }
    for await (const page of contiguous ? mine : pagesFrom(session, listed + 1)) {
      if (page.end <= end) continue
      for (const head of headsOf(page)) heads.set(head.st, head)
      end = page.end
      if (heads.size >= listedStreams) await flush()
    }
    await flush()
  }

  function catchUp(): Promise<void> {
    clearTimeout(later)
    later = undefined
    again = true
    running ??= (async () => {
      try {
        while (again) {
          again = false
          await run()
        }
      } finally {
        running = undefined
      }
    })()
    return running
  }
  // What fails is done by whoever catches up next.
  const tryTo = () => catchUp().catch(() => {})

  return {
    catchUp,
    catchUpLater() {
      later ??= setTimeout(tryTo, gatherMs)
    },
    wrote(page) {
      fresh.push(page)
    },
    async close() {
      if (later !== undefined) await tryTo()
      await running?.catch(() => {})
    },
  }
}

function headsOf(page: PageItem): readonly HeadItem[] {
  return entriesOf(page).map(({ stream, revision, count, time, words, position }) => ({
    ...headKey(stream),
    st: stream,
    lt: streamTypeOf(stream),
    lp: position + count - 1,
    r: revision + count - 1,
    t: time,
    ...(words.length === 0 && { z: 1 as const }),
  }))
}

async function writeHeads({ table }: Session, types: Set<string>, heads: readonly HeadItem[]): Promise<void> {
  for (const type of new Set(heads.map(({ lt }) => lt))) {
    if (types.has(type)) continue
    await table.write(put(typeKey(type), { is: 'anything' }))
    types.add(type)
  }
  for (let start = 0; start < heads.length; start += headsAtOnce) {
    const some = heads.slice(start, start + headsAtOnce)
    await Promise.all(some.map((item) => table.write(put(item, { is: 'below', attribute: 'lp', value: item.lp }))))
  }
}

export async function listStreams(session: Session, query: StreamListQuery): Promise<StreamListPage> {
  const { type, updatedFrom, cursor = '0', limit } = query
  let after = cursorOrdinal(cursor)
  // Times do not rise with positions here, but a stream that was updated later stands behind the first late position.
  if (updatedFrom !== undefined) {
    after = Math.max(after, await positionAsOf(session, updatedFrom - 1, await readHead(session)))
  }
  const streams: StreamHead[] = []
  for (;;) {
    const { items, more } = await session.table.listUpdated({ type, after, limit: limit + 1 })
    for (const item of items as readonly HeadItem[]) {
      if (item.t < (updatedFrom ?? 0)) continue
      if (streams.length === limit) return { streams, next: String(streams.at(-1)?.position) }
      streams.push({ stream: item.st, revision: item.r, time: item.t, position: item.lp, closed: item.z === 1 })
    }
    const last = items.at(-1) as HeadItem | undefined
    if (!more || last === undefined) return { streams }
    after = last.lp
  }
}

export async function listStreamTypes({ table }: Session): Promise<readonly string[]> {
  const { pk } = typeKey('')
  const most = 10_000
  const { items } = await table.query({ pk, from: '\0', to: '\u{10ffff}', direction: 'forwards', limit: most })
  return items.map(({ sk }) => sk)
}
