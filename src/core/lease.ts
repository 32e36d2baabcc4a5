/**
 * Leases: a document that one process at a time works on. Its holder writes it anew, as a heartbeat, before the term is
 * over. Another takes it only once no heartbeat was seen for the whole term on the taker's own monotonic clock; clocks are
 * never compared, and what others change in the document is no heartbeat. What keeps it safe is the fence: each commit under
 * a lease puts the document if it still has the version that the holder knows. Who has lost it writes nothing more, however
 * late he learns of it.
 */
import { errorOf } from './append.ts'
import type { CommitQueue } from './commit-queue.ts'
import { guardOf, putDocument } from './document.ts'
import { InvalidArgument, isStoreError } from './errors.ts'
import { limits } from './limits.ts'
import type { AppendCondition } from './query.ts'
import type {
  CollectionSpec,
  Commit,
  CommitOutcome,
  Document,
  DocumentCheck,
  DocumentWrite,
  Storage,
  StreamAppend,
} from './storage.ts'
import { backoffMs, sleep } from './turn.ts'

/** Whose a document is. */
export interface Held {
  /** Of one holding, never used again. */
  readonly owner: string
  /** By the holder's clock; to be shown, not to be compared. */
  readonly since: string
  readonly termMs: number
  /** Counts what the holder has written. */
  readonly beat: number
}

/** What the body of a document must have room for, to be leased. Without `held` it is nobody's. */
export interface Leased {
  readonly held?: Held | undefined
}

export interface Leasing {
  readonly storage: Pick<Storage, 'getDocuments'>
  readonly queue: Pick<CommitQueue, 'add'>
  readonly newId: () => string
}

export interface Place {
  readonly collection: CollectionSpec
  readonly key: string
  /** Forgetting one of these deletes the document, and so ends the lease. */
  readonly streams?: readonly string[] | undefined
}

export interface Change<Body> {
  /** The next body; one without `held` gives the lease back. It may be called again, also with what it gave before. */
  readonly body: (body: Body) => Body
  readonly appends?: readonly StreamAppend[] | undefined
  readonly condition?: AppendCondition | undefined
  readonly documents?: readonly DocumentWrite[] | undefined
  /** Called once it is written, before the next change is asked for its body. */
  readonly written?: (() => void) | undefined
}

export interface Lease<Body extends Leased> {
  /** Aborted once the lease is lost: somebody else has the document now, or may have it. */
  readonly lost: AbortSignal
  /** As this holder knows it. */
  readonly body: Body
  /** What other commits under the lease check: they fail once the document has changed, by whomever. */
  readonly check: DocumentCheck
  /**
   * One commit under the lease: all or nothing, one after the other. False where the lease was lost: whoever has it now goes
   * on from what is there. Throws the typed error where something else than the lease stands against it. Events that are in
   * the log already count as written; what was to come with them is then written without them.
   */
  write(change: Change<Body>): Promise<boolean>
  /** Looks whether somebody has changed the document meanwhile, and takes over what he has left. */
  look(): Promise<void>
  /** No more heartbeats: the lease runs out, unless it was given back. */
  end(): void
}

/** Takes a document whose lease is nobody's, or has run out. Undefined where another was faster. */
export async function takeLease<Body extends Leased>(
  leasing: Leasing,
  place: Place,
  { body, previous }: { readonly body: Body & { readonly held: Held }; readonly previous: Document | undefined },
): Promise<Lease<Body> | undefined> {
  const id = leasing.newId()
  const sentAt = performance.now()
  const guard = guardOf(previous)
  const documents = putDocument(place.collection, { ...place, body, if: guard })
  const outcome = await leasing.queue.add({ id, appends: [], documents })
  if (outcome.outcome === 'document-conflict') return undefined
  if (outcome.outcome !== 'committed') throw errorOf(outcome)
  return holdLease(leasing, place, { body, version: id, sentAt })
}

interface Known<Body> {
  readonly body: Body
  readonly version: string
  /** When the write of this version was sent off, on the monotonic clock: whoever sees it sees it later. */
  readonly sentAt: number
}

function holdLease<Body extends Leased>(
  leasing: Leasing,
  place: Place,
  taken: Known<Body & { readonly held: Held }>,
): Lease<Body> {
  const { queue, storage } = leasing
  const { owner, termMs } = taken.body.held
  const lost = new AbortController()
  let known: Known<Body> = taken
  let last: Promise<unknown> = Promise.resolve()
  let waiting = 0
  const ticking = setInterval(tick, Math.max(1, termMs / 6))

  function tick(): void {
    const age = performance.now() - known.sentAt
    // Before the others may think so.
    if (age > (termMs * 5) / 6) lose()
    else if (age > termMs / 3 && waiting === 0) inTurn(() => commit({ body: (body) => body })).catch(() => {})
  }

  function lose(): false {
    clearInterval(ticking)
    lost.abort(new Error('The lease was lost'))
    return false
  }

  function inTurn<Result>(run: () => Promise<Result>): Promise<Result> {
    waiting++
    const result = last.then(run).finally(() => waiting--)
    last = result.catch(() => {})
    return result
  }

  async function commit(change: Change<Body>): Promise<boolean> {
    let { appends = [], condition } = change
    let id = leasing.newId()
    for (let tries = 1; !lost.signal.aborted; tries++) {
      if (tries > 1) await sleep(backoffMs(tries - 1, limits.commitBackoffMs, termMs / 6), lost.signal)
      const body = withBeat(change.body(known.body))
      const put = { ...place, body, if: { is: 'version', version: known.version } } as const
      const documents = [...putDocument(place.collection, put), ...(change.documents ?? [])]
      const sentAt = performance.now()
      const outcome = await offer({ id, appends, documents, ...(condition && { condition }) })
      if (outcome === 'again') continue
      const mayBeThere = outcome.outcome === 'committed' && outcome.repeated && appends.length > 0
      if (outcome.outcome === 'committed' && !mayBeThere) return wrote({ body, version: id, sentAt }, change)
      if (!mayBeThere && !concerns(outcome)) throw errorOf(outcome as Exclude<CommitOutcome, { outcome: 'committed' }>)
      const found = await find()
      if (found?.version === id) return wrote({ body, version: id, sentAt }, change)
      if (!adopt(found)) return lose()
      // The events were there before, from elsewhere: what remains is all the rest.
      if (mayBeThere) [appends, condition] = [[], undefined]
      id = leasing.newId()
    }
    return false
  }

  /** `'again'`: with the same id, so that a try that came through after all is known again. */
  async function offer(commit: Commit): Promise<CommitOutcome | 'again'> {
    try {
      const outcome = await queue.add(commit)
      return outcome.outcome === 'busy' ? 'again' : outcome
    } catch (error) {
      if (isStoreError(error, 'outcome-unknown') || isStoreError(error, 'store-busy')) return 'again'
      throw error
    }
  }

  function concerns(outcome: CommitOutcome): boolean {
    if (outcome.outcome !== 'document-conflict') return false
    return outcome.key.collection === place.collection.collection && outcome.key.key === place.key
  }

  function withBeat(body: Body): Body {
    return body.held ? { ...body, held: { ...body.held, beat: (known.body.held?.beat ?? 0) + 1 } } : body
  }

  function wrote(next: Known<Body>, { written }: Change<Body>): true {
    known = next
    written?.()
    if (next.body.held === undefined) clearInterval(ticking)
    return true
  }

  async function find(): Promise<Document | undefined> {
    const [document] = await storage.getDocuments([{ collection: place.collection.collection, key: place.key }])
    return document
  }

  /** Somebody who does not want the lease has changed something else; when it was written here last stays as it is. */
  function adopt(document: Document | undefined): boolean {
    const body = document && (JSON.parse(document.body) as Body)
    if (document === undefined || body?.held?.owner !== owner) return false
    known = { ...known, body, version: document.version }
    return true
  }

  return {
    lost: lost.signal,
    get body() {
      return known.body
    },
    get check() {
      const { collection } = place.collection
      const { version } = known
      return { kind: 'check', key: { collection, key: place.key }, if: { is: 'version', version } } as const
    },
    write: (change) => inTurn(() => commit(change)),
    look: () =>
      inTurn(async () => {
        if (!lost.signal.aborted && !adopt(await find())) lose()
      }),
    end: () => clearInterval(ticking),
  }
}

/** Tells leases that have run out from those that are alive. */
export interface Watch {
  /**
   * For each of them how many ms it must still be silent until it has run out. To be asked with all that are of interest
   * each time; the others are forgotten.
   */
  look(leases: readonly { readonly key: string; readonly held?: Held | undefined }[]): readonly number[]
}

export function createWatch(now: () => number = () => performance.now()): Watch {
  let seen = new Map<string, { readonly beat: string; readonly since: number }>()
  return {
    look(leases) {
      const before = seen
      seen = new Map()
      return leases.map(({ key, held }) => {
        if (held === undefined) return 0
        const beat = `${held.owner} ${held.beat}`
        const last = before.get(key)
        const known = last?.beat === beat ? last : { beat, since: now() }
        seen.set(key, known)
        return Math.max(0, known.since + held.termMs - now())
      })
    },
  }
}

export function checkTerm(termMs: number = limits.leaseMs): number {
  if (Number.isSafeInteger(termMs) && termMs >= limits.leaseMsLeast && termMs <= limits.leaseMsMost) return termMs
  throw new InvalidArgument('termMs', `must be ${limits.leaseMsLeast} to ${limits.leaseMsMost}`)
}
