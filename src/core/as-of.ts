/** Replay: a view as its streams made it, up to a revision or an instant, or only from one on; whatever became of it since. */
import { checkOrdinal } from './argument.ts'
import { InvalidArgument } from './errors.ts'
import type { Recorded } from './event.ts'
import type { Folding } from './fold.ts'
import { type Forms, formed } from './form.ts'
import { limits } from './limits.ts'
import { checkStreamId } from './name.ts'
import type { Shape } from './projection.ts'
import { logEntryReader, type Until } from './read.ts'
import { eventsOf, foldAll, linksOf, merged } from './refold.ts'
import type { Storage } from './storage.ts'
import { formatInstant, parseInstant } from './time.ts'
import { withOldTypesOf } from './upcaster.ts'

/** Which events are folded: of one stream by revision, or by the time of recording in epoch milliseconds; all inclusive. */
export interface Cut {
  readonly revision?: number
  readonly instant?: number
  readonly fromRevision?: number
  readonly fromInstant?: number
}

/** `undefined` where nothing is cut off. Throws `InvalidArgument`, also for an instant that is yet to come. */
export function checkCut({ at, from }: { at?: Until; from?: Until }, now: number): Cut | undefined {
  if (at === undefined && from === undefined) return undefined
  const cut: Cut = {
    ...(at !== undefined && (typeof at === 'number' ? { revision: at } : { instant: parseInstant(at, 'at') })),
    ...(from !== undefined &&
      (typeof from === 'number' ? { fromRevision: from } : { fromInstant: parseInstant(from, 'from', 'up') })),
  }
  if (cut.revision !== undefined) checkOrdinal(cut.revision, 'at')
  if (cut.fromRevision !== undefined) checkOrdinal(cut.fromRevision, 'from')
  for (const [path, instant] of [['at', cut.instant] as const, ['from', cut.fromInstant] as const]) {
    if (instant !== undefined && instant > now) {
      throw new InvalidArgument(path, `${formatInstant(instant)} is yet to come`)
    }
  }
  const past = (from: number | undefined, to: number | undefined) => from !== undefined && to !== undefined && from > to
  if (past(cut.fromRevision, cut.revision) || past(cut.fromInstant, cut.instant)) {
    throw new InvalidArgument('from', 'lies after "at"')
  }
  return cut
}

export interface Replaying extends Forms {
  readonly storage: Storage
}

/** Folded from the log; nothing is written, and no view needs to be there. */
export async function viewAsOf(
  replaying: Replaying,
  shape: Shape,
  { id, cut }: { readonly id: string; readonly cut: Cut },
): Promise<Folding> {
  return foldAll(shape, { key: id, body: {} }, eventsOfView(replaying, shape, { id, cut }))
}

/** Events of all streams that make the view, in the log's order. Of a forgotten stream there are none. */
async function* eventsOfView(
  replaying: Replaying,
  shape: Shape,
  { id, cut }: { readonly id: string; readonly cut: Cut },
): AsyncGenerator<Recorded> {
  const { storage } = replaying
  const streams = await streamsOf(storage, shape, id)
  const revisions = cut.revision !== undefined || cut.fromRevision !== undefined
  if (revisions && (shape.keyed === 'by-function' || streams?.length !== 1)) {
    throw new InvalidArgument('at', `a view of "${shape.name}" may be of several streams: give an instant`)
  }
  if (streams === undefined) {
    for await (const event of scan(replaying, shape, cut)) if (isAfter(event, cut)) yield event
    return
  }
  await checkReach(storage, streams, cut)
  const range = {
    after: Math.max(0, (cut.fromRevision ?? 1) - 1),
    ...(cut.revision !== undefined && { until: cut.revision }),
    ...(cut.instant !== undefined && { asOf: cut.instant }),
  }
  const each = streams.map((stream) => eventsOf({ ...replaying, reads: storage }, stream, range))
  for await (const event of merged(each)) if (isAfter(event, cut)) yield event
}

function isAfter({ time }: Recorded, { fromInstant }: Cut): boolean {
  return fromInstant === undefined || Date.parse(time) >= fromInstant
}

/** `undefined` where only the log knows: an inline view's links are written with it, those of others later. */
async function streamsOf(storage: Storage, shape: Shape, id: string): Promise<readonly string[] | undefined> {
  if (shape.keyed === 'by-stream') {
    checkStreamId(id, 'id')
    return (shape.filter.streamTypes ?? []).map((type) => `${type}/${id}`)
  }
  if (shape.lifecycle !== 'inline') return undefined
  const streams: string[] = []
  for await (const { stream } of linksOf(storage, shape, { index: 'key', value: id })) streams.push(stream)
  return streams.length === 0 ? undefined : streams
}

/** Throws `InvalidArgument` where the streams begin later, or one ends earlier, than what is asked for. */
async function checkReach(storage: Storage, streams: readonly string[], cut: Cut): Promise<void> {
  if (cut.revision === undefined && cut.instant === undefined) return
  const firsts = await Promise.all(
    streams.map((stream) => storage.readStream(stream, { after: 0, direction: 'forwards', limit: 1 })),
  )
  const open = firsts.flatMap(({ head, records: [first] }) => (head && first && !head.closed ? [{ head, first }] : []))
  const [one] = open
  if (one === undefined) return
  const { revision, instant } = cut
  if (revision !== undefined && revision > one.head.revision) {
    throw new InvalidArgument('at', `"${one.head.stream}" is at revision ${one.head.revision}, not yet at ${revision}`)
  }
  if (revision === 0 || (instant !== undefined && open.every(({ first }) => first.time > instant))) {
    const names = open.map(({ head }) => `"${head.stream}"`).join(' and ')
    throw new InvalidArgument('at', `is before the first event of ${names}`)
  }
}

/** What the projection is made of, from the log itself. */
export async function* scan(
  replaying: Replaying,
  { filter }: Shape,
  { instant }: Pick<Cut, 'instant'>,
): AsyncGenerator<Recorded> {
  const read = logEntryReader()
  const recorded = withOldTypesOf(replaying.upcasters, filter)
  const asOf = instant === undefined ? {} : { asOf: instant }
  for (let after = 0; ; ) {
    const query = { ...recorded, ...asOf, after, direction: 'forwards', limit: limits.pageRecords } as const
    const { records, scannedTo, more } = await replaying.storage.readLog(query)
    for (const entry of await formed(replaying, records.map(read))) {
      if (!entry.forgotten && !entry.tombstone) yield entry
    }
    if (!more) return
    after = scannedTo
  }
}
