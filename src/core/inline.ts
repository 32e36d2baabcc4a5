/**
 * Inline views: folded while a commit is made, and committed with its events. A batch of commits is folded together, each
 * over what those before it write; whatever then turns out to have been written by others meanwhile is folded anew.
 */

import { asExpected } from './commit.ts'
import { type CommitFolder, type Folded, type FoldReads, foldsNothing } from './commit-queue.ts'
import { parseContent } from './content.ts'
import { guardOf } from './document.ts'
import { InvalidArgument, isStoreError, LimitExceeded } from './errors.ts'
import type { Recorded } from './event.ts'
import { type Folding, foldEvent, foldingOf, linkKey, linksRevision, viewWrites } from './fold.ts'
import type { Forms } from './form.ts'
import { limits } from './limits.ts'
import type { Shape } from './projection.ts'
import { failedAt, ProjectionMissing, ValueTaken } from './projection-errors.ts'
import {
  concerns,
  fenceCheck,
  isFence,
  type Keeper,
  type KnownStates,
  keepersIn,
  projectionStates,
  type StoredState,
} from './projection-state.ts'
import { createRecentViews, type RecentViews } from './recent-views.ts'
import { foldMissing } from './refold.ts'
import { unstamped } from './stamp.ts'
import type { Commit, CommitOutcome, DocumentCheck, DocumentKey, DocumentWrite, StreamAppend } from './storage.ts'
import { insideOf, type TableShape } from './tables.ts'
import { type Upcaster, upcast } from './upcaster.ts'

interface Entry {
  readonly keeper: Keeper
  readonly shape: Shape
  readonly event: Recorded
  readonly key: string
  /** Of its view's document. */
  readonly id: string
}

interface Plan {
  readonly asked: Commit
  readonly appends: readonly StreamAppend[]
  readonly entries: readonly Entry[]
  readonly fences: readonly DocumentCheck[]
  readonly inside?: Commit['inside']
  readonly refusal?: unknown
}

/** What a document is, or will be once the commits before have been written. */
type Held = Map<string, { readonly version: string; readonly body: string } | undefined>

export function createInline({
  shapes,
  tables,
  states,
  commitDocuments,
  ...forms
}: Forms & {
  readonly shapes: readonly Shape[]
  readonly tables: readonly TableShape[]
  readonly states: KnownStates
  /** Of the storage's limits. */
  readonly commitDocuments: number
}): CommitFolder {
  /** Ends of streams as far as this process has seen them; commits are guarded by them. */
  const ends = new Map<string, number>()
  const recent = createRecentViews()
  let known: ReadonlyMap<string, StoredState> | undefined
  let keepers: readonly Keeper[] = []

  function keepersOf(states: ReadonlyMap<string, StoredState>): readonly Keeper[] {
    if (states !== known) keepers = [...states.values()].flatMap((state) => keepersIn(state, shapes, forms.upcasters))
    known = states
    return keepers
  }

  async function currentKeepers(commits: readonly Commit[]): Promise<readonly Keeper[]> {
    const current = keepersOf(await states.current())
    const lacking = current.filter(({ folds, shape }) => folds && shape === undefined)
    // Before anything is refused on account of it.
    const lacked = commits.some(({ appends }) => appends.some((append) => lacking.some((one) => concerns(one, append))))
    return lacked ? keepersOf(await states.refreshed()) : current
  }

  async function findEnds(appends: readonly StreamAppend[], reads: FoldReads): Promise<void> {
    const unknown = new Set(
      appends.flatMap(({ stream, expected }) => (typeof expected === 'number' || ends.has(stream) ? [] : [stream])),
    )
    await Promise.all(
      [...unknown].map(async (stream) => {
        const { head } = await reads.readStream(stream, { after: 0, direction: 'backwards', limit: 1 })
        sawEnd(stream, head?.revision ?? 0)
      }),
    )
  }

  function sawEnd(stream: string, revision: number): void {
    ends.delete(stream)
    ends.set(stream, revision)
    for (const oldest of ends.keys()) {
      if (ends.size <= limits.foldStreams) break
      ends.delete(oldest)
    }
  }

  return {
    async fold(commits, reads) {
      if (commits.every(({ appends }) => appends.length === 0)) return foldsNothing.fold(commits, reads)
      const kept = await currentKeepers(commits)
      const all = [...kept, ...tables]
      const touched = commits.flatMap(({ appends }) => appends.filter((one) => all.some((each) => concerns(each, one))))
      if (touched.length === 0) return foldsNothing.fold(commits, reads)
      const concerned = new Set(touched)
      await findEnds(touched, reads)
      const running = new Map<string, number>()
      const plans = commits.map((commit) => planOf(commit, { kept, tables, concerned, ends, running, ...forms }))
      const held = await load(plans, reads, recent)
      const folded: Folded[] = []
      for (const plan of plans) folded.push(await foldPlan(plan, { held, reads, commitDocuments, ...forms }))
      return folded
    },

    judge({ asked, commit, fold }, outcome) {
      if (outcome.outcome === 'committed' && !outcome.repeated) {
        for (const { stream, last } of outcome.streams) if (fold || ends.has(stream)) sawEnd(stream, last)
      }
      if (fold === undefined) return outcome
      if (outcome.outcome === 'committed' && !outcome.repeated) keepViews(commit, fold.keys)
      switch (outcome.outcome) {
        case 'conflict': {
          sawEnd(outcome.stream, outcome.actual)
          const append = asked.appends.find(({ stream }) => stream === outcome.stream)
          return append && asExpected(append, outcome.actual) ? 'again' : outcome
        }
        case 'document-conflict':
          return judgeDocument(fold, outcome)
        case 'committed':
        case 'forgotten':
        case 'condition-failed':
        case 'id-reused':
        case 'limit':
        case 'busy':
        case 'failed':
          return outcome
      }
    },
  }

  /** Those alone that their own version guards. */
  function keepViews({ id, documents = [] }: Commit, keys: ReadonlySet<string>): void {
    for (const write of documents) {
      const name = idOf(write.key)
      const guarded = write.kind === 'put' && write.if.is !== 'anything' && !isUnique(write.key)
      if (guarded && keys.has(name)) recent.keep(name, { version: id, body: write.body })
    }
  }

  function judgeDocument(
    { keys, refusal }: NonNullable<Folded['fold']>,
    outcome: CommitOutcome & { outcome: 'document-conflict' },
  ): CommitOutcome | 'again' {
    const { key } = outcome
    if (idOf(key) === idOf(refused.key)) return { outcome: 'failed', cause: refusal }
    if (!keys.has(idOf(key))) return outcome
    if (isFence(key)) states.expire()
    recent.share(idOf(key))
    // All guards of views stand before it, and held.
    return isUnique(key) ? { outcome: 'failed', cause: takenOf(key) } : 'again'
  }
}

interface Planning {
  readonly kept: readonly Keeper[]
  readonly tables: readonly TableShape[]
  readonly concerned: ReadonlySet<StreamAppend>
  readonly upcasters: readonly Upcaster[]
  readonly ends: ReadonlyMap<string, number>
  /** Ends after the commits of the batch before. */
  readonly running: Map<string, number>
}

function planOf(asked: Commit, { kept, tables, concerned, upcasters, ends, running }: Planning): Plan {
  const entries: Entry[] = []
  const rows: { readonly tables: TableShape; readonly event: Recorded }[] = []
  const fences = new Map<string, DocumentCheck>()
  let refusal: unknown
  const appends = asked.appends.map((append): StreamAppend => {
    const { stream, expected, events } = append
    const known = typeof expected === 'number' ? expected : (running.get(stream) ?? ends.get(stream))
    // What is not known by now is found out by the conflict that it makes.
    const end = known ?? 0
    if (known !== undefined) running.set(stream, end + events.length)
    if (!concerned.has(append)) return append
    const seen = events.map(({ content }, index) => {
      const event = seenAs(upcasters, content, { stream, revision: end + 1 + index })
      return append.tombstone ? { ...event, tombstone: true as const } : event
    })
    for (const one of tables.filter((one) => concerns(one, append)))
      rows.push(...seen.map((event) => ({ tables: one, event })))
    for (const keeper of kept.filter((one) => concerns(one, append))) {
      const { state, version, shape, folds } = keeper
      const { name } = state.state
      fences.set(name, fences.get(name) ?? fenceCheck(state, asked.appends[0]?.stream ?? stream))
      if (!folds) continue
      if (shape === undefined) {
        refusal ??= new ProjectionMissing({ projection: name, version })
        continue
      }
      for (const event of seen) {
        if (!shape.filter.types?.includes(event.type)) continue
        try {
          const key = keyOf(shape, event)
          if (key !== undefined) entries.push({ keeper, shape, event, key, id: idOf(viewKey(shape, key)) })
        } catch (error) {
          refusal ??= failedAt(shape, event, error)
        }
      }
    }
    return typeof expected === 'number' ? append : { ...append, at: end }
  })
  return {
    ...{ asked, appends, entries, fences: [...fences.values()] },
    ...(rows.length > 0 && { inside: insideOf(rows) }),
    ...(refusal !== undefined && { refusal }),
  }
}

/** As handlers see it, before the commit gives time and position. */
function seenAs(
  upcasters: readonly Upcaster[],
  content: string,
  place: { readonly stream: string; readonly revision: number },
): Recorded {
  const { id, type, tags, data, meta } = parseContent(content)
  const read = { id, ...place, type, data, meta: unstamped(meta), tags } as Recorded
  return upcasters.length === 0 ? read : upcast(upcasters, read)
}

function keyOf(shape: Shape, event: Recorded): string | undefined {
  const key = shape.keyOf(event)
  if (key === undefined || (typeof key === 'string' && key !== '')) return key
  throw new InvalidArgument(`projection "${shape.name}", key`, 'must give a text that is not empty, or undefined')
}

/** One read for a whole batch, of what this process has not written last. Links are always read: nothing but their view guards them. */
async function load(plans: readonly Plan[], reads: FoldReads, recent: RecentViews): Promise<Held> {
  const keys = new Map<string, DocumentKey>()
  const known: Held = new Map()
  for (const { shape, event, key, id } of plans.flatMap(({ entries }) => entries)) {
    const kept = recent.get(id)
    if (kept) known.set(id, kept)
    else keys.set(id, viewKey(shape, key))
    if (!linksRevision(shape)) continue
    const link = linkKey(shape, { stream: event.stream, key })
    keys.set(idOf(link), link)
  }
  if (keys.size === 0) return known
  const documents = await reads.getDocuments([...keys.values()])
  return new Map([...known, ...[...keys.keys()].map((id, index) => [id, documents[index]] as const)])
}

interface Tools extends Forms {
  readonly held: Held
  readonly reads: FoldReads
  readonly commitDocuments: number
}

/** Leaves in `held` what the documents will be. */
async function foldPlan(plan: Plan, { held, reads, commitDocuments, ...forms }: Tools): Promise<Folded> {
  const { asked, appends, entries, fences, inside } = plan
  if (fences.length === 0 && inside === undefined && plan.refusal === undefined) return { commit: asked, asked }
  const own = asked.documents ?? []
  const views = new Map<string, { readonly shape: Shape; readonly folding: Folding }>()
  const refuse = (refusal: unknown): Folded => {
    const opened = [...views.values()].map(({ shape, folding }) => checkOf(shape, folding))
    const checks = [...fences, ...opened].slice(0, Math.max(0, commitDocuments - own.length - 1))
    return foldedOf(asked, { appends, documents: [...own, ...checks, refused], views: [...checks, refused], refusal })
  }
  if (plan.refusal !== undefined) return refuse(plan.refusal)
  for (const { keeper, shape, event, key, id } of entries) {
    const open = views.get(id)?.folding ?? foldingOf(key, held.get(id))
    views.set(id, { shape, folding: open })
    try {
      const linked = withLink(shape, open, { stream: event.stream, held })
      const caughtUp = keeper.whole ? linked : await foldMissing({ reads, shape, ...forms }, linked, event)
      views.set(id, { shape, folding: foldEvent(shape, caughtUp, event) })
    } catch (error) {
      return refuse(failedAt(shape, event, error))
    }
  }
  let writes: readonly DocumentWrite[]
  try {
    writes = inOrder([...fences, ...[...views.values()].flatMap(({ shape, folding }) => guardedWrites(shape, folding))])
  } catch (error) {
    const last = entries.at(-1)
    const own = last === undefined || !isStoreError(error, 'invalid-argument')
    return refuse(own ? error : failedAt(last.shape, last.event, error))
  }
  const actual = own.length + writes.length
  if (actual > commitDocuments) {
    const facts = { limit: 'commitDocuments', allowed: commitDocuments, actual }
    return refuse(new LimitExceeded(facts, 'append, with the documents of its views'))
  }
  for (const write of writes)
    if (write.kind === 'put') held.set(idOf(write.key), { version: asked.id, body: write.body })
  return foldedOf(asked, { appends, documents: [...own, ...writes], views: writes, ...(inside && { inside }) })
}

function foldedOf(
  asked: Commit,
  made: {
    readonly appends: readonly StreamAppend[]
    readonly documents: readonly DocumentWrite[]
    readonly views: readonly DocumentWrite[]
    readonly inside?: Commit['inside']
    readonly refusal?: unknown
  },
): Folded {
  const { appends, documents, views, inside, refusal } = made
  const keys = new Set(views.map(({ key }) => idOf(key)))
  const more = { ...(documents.length > 0 && { documents }), ...(inside && { inside }) }
  return { asked, commit: { ...asked, appends, ...more }, fold: { keys, refusal } }
}

/** Never there, so that the storage answers a repeat, a conflict, or that it came as far as this. */
const refused: DocumentCheck = {
  kind: 'check',
  key: { collection: projectionStates.collection, key: 'refused' },
  if: { is: 'version', version: '-' },
}

/** What the link says, where it is the link that knows what the view holds of a stream. */
function withLink(shape: Shape, folding: Folding, { stream, held }: { stream: string; held: Held }): Folding {
  if (!linksRevision(shape) || folding.linked?.[stream] !== undefined) return folding
  const link = held.get(idOf(linkKey(shape, { stream, key: folding.key })))
  const { revision = 0 } = link ? (JSON.parse(link.body) as { revision?: number }) : {}
  return { ...folding, linked: { ...folding.linked, [stream]: revision } }
}

/** A view that holds all of it already is one more thing that must be so: a commit before this one may have failed. */
function guardedWrites(shape: Shape, folding: Folding): readonly DocumentWrite[] {
  return folding.folded ? viewWrites(shape, folding) : [checkOf(shape, folding)]
}

function checkOf(shape: Shape, { key, stored }: Folding): DocumentCheck {
  const guard = guardOf(stored)
  return { kind: 'check', key: viewKey(shape, key), if: guard }
}

/**
 * Unique values behind all that is guarded by what was read, so that one which is taken is so for certain. A value that
 * one view of the commit gives back and another takes is one write; the giver's guard says that it had it.
 */
function inOrder(writes: readonly DocumentWrite[]): readonly DocumentWrite[] {
  const uniques = new Map<string, DocumentWrite>()
  const others: DocumentWrite[] = []
  for (const write of writes) {
    if (!isUnique(write.key)) {
      others.push(write)
      continue
    }
    const id = idOf(write.key)
    const other = uniques.get(id)
    if (other === undefined) uniques.set(id, write)
    else if (write.kind === 'put' && other.kind === 'put') throw takenOf(write.key)
    else uniques.set(id, { ...(write.kind === 'put' ? write : other), if: { is: 'anything' } })
  }
  return [...others, ...uniques.values()]
}

function isUnique({ collection }: DocumentKey): boolean {
  return collection.includes('\u0001')
}

function takenOf({ collection }: DocumentKey): ValueTaken {
  const [views = '', index = ''] = collection.split('\u0001')
  return new ValueTaken({ projection: views.slice(0, views.lastIndexOf('@')), index })
}

function viewKey({ views }: Shape, key: string): DocumentKey {
  return { collection: views.collection, key }
}

function idOf({ collection, key }: DocumentKey): string {
  return `${collection}\n${key}`
}
