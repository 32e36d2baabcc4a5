/**
 * The state of projections, kept in the store so that all processes go by the same: which versions there are, which of
 * them is read, and which ones an inline commit must keep. Every commit that folds views checks a fence, a document that
 * changes with the state: whoever does not know of a change is refused, reads the state again, and folds anew. Whoever folds
 * nothing reads it again every few seconds.
 */
import { errorOf, type Making } from './append.ts'
import type { CommitQueue } from './commit-queue.ts'
import { allIndexed, guardOf, putDocument } from './document.ts'
import { canonicalJson } from './encoding.ts'
import { limits } from './limits.ts'
import { streamTypeOf } from './name.ts'
import type { Shape, ShapeFacts } from './projection.ts'
import { ProjectionClash } from './projection-errors.ts'
import type { LogFilter } from './query.ts'
import type {
  CollectionSpec,
  Document,
  DocumentCheck,
  DocumentKey,
  DocumentWrite,
  Storage,
  StreamAppend,
} from './storage.ts'
import type { TableShape } from './tables.ts'
import { backoffMs, sleep } from './turn.ts'
import { type Upcaster, withOldTypesOf } from './upcaster.ts'

/**
 * `building`: folded from the log, beside what is in use. `dual` and `active`: kept by every inline commit, and by the
 * runner of an async one; a dual one may still lack what was recorded before it became so. `retired`: nobody keeps it.
 */
export type VersionState = 'building' | 'dual' | 'active' | 'retired'

export interface VersionStatus {
  readonly version: number
  readonly state: VersionState
  readonly facts: ShapeFacts
}

export interface ProjectionState {
  readonly name: string
  /** The version that is read; absent while the first one is built. */
  readonly reads?: number
  /** The one that was read before it, to roll back to. */
  readonly before?: number
  readonly versions: readonly VersionStatus[]
}

/** The state with the version of its document, which is that of its fences too. */
export interface StoredState {
  readonly state: ProjectionState
  readonly version: string
}

/** States under `state/…`, fences under `fence/…`; what else is kept of a version has keys of its own. */
export const projectionStates: CollectionSpec = {
  collection: '$projections',
  indexes: [{ name: 'states', equals: ['kind'], order: 'name' }],
}

/** A check of one of these costs each commit; on DynamoDB two at once get in each other's way, so they are spread. */
const fences = 16

export function isKept({ state }: VersionStatus): boolean {
  return state === 'dual' || state === 'active'
}

/** Strongly consistent. */
export async function readStates(
  storage: Pick<Storage, 'getDocuments'>,
  names: readonly string[],
): Promise<readonly (StoredState | undefined)[]> {
  if (names.length === 0) return []
  return (await storage.getDocuments(names.map(stateKey))).map((document) => document && storedOf(document))
}

/** Those of all projections that the store has ever had; may lag. */
export async function listStates(storage: Pick<Storage, 'queryDocuments'>): Promise<readonly StoredState[]> {
  const states: StoredState[] = []
  const query = { index: 'states', equals: ['projection'] }
  for await (const document of allIndexed(storage, projectionStates, query)) states.push(storedOf(document))
  return states
}

/** What a commit writes that changes the state: its document and all fences. `known` is what it follows from. */
export function stateWrites(next: ProjectionState, known: StoredState | undefined): readonly DocumentWrite[] {
  const inline = next.versions.some(({ facts }) => facts.lifecycle === 'inline')
  return [
    ...putDocument(projectionStates, {
      key: stateKey(next.name).key,
      body: { kind: 'projection', ...next },
      if: guardOf(known),
    }),
    ...Array.from({ length: inline ? fences : 0 }, (_, shard): DocumentWrite => {
      return { kind: 'put', key: fenceKey(next.name, shard), body: '{}', index: [], if: { is: 'anything' } }
    }),
  ]
}

/** What a commit checks that folds into `stream` by a state. */
export function fenceCheck({ state, version }: StoredState, stream: string): DocumentCheck {
  return { kind: 'check', key: fenceKey(state.name, shardOf(stream)), if: { is: 'version', version } }
}

export function isFence({ collection, key }: DocumentKey): boolean {
  return collection === projectionStates.collection && key.startsWith('fence/')
}

/**
 * Makes the definitions' versions known to the store. On an empty log an inline one is in use at once, else it waits to
 * be built; an async one is in use where it is the first of its name. Throws `ProjectionClash`, and has then changed nothing.
 */
export async function register(
  { storage, queue, making }: { storage: Storage; queue: CommitQueue; making: Making },
  shapes: readonly Shape[],
): Promise<void> {
  const { kept, names } = keptIn(shapes)
  if (names.length === 0) return
  // First of all, so that what clashes with one leaves the others as they are too.
  let states = await readStates(storage, names)
  const { head } = await storage.readLog({ after: 0, direction: 'backwards', limit: 1 })
  const changed = (name: string, known: StoredState | undefined) => {
    const mine = kept.filter((shape) => shape.name === name).sort((a, b) => a.version - b.version)
    return mine.reduce((state, shape) => withVersion(state, shape, head === 0), known?.state)
  }
  for (const [index, name] of names.entries()) changed(name, states[index])
  for (const [index, name] of names.entries()) {
    for (let tries = 1; ; tries++) {
      const next = changed(name, states[index])
      if (next === undefined || next === states[index]?.state) break
      const documents = stateWrites(next, states[index])
      const outcome = await queue.add({ id: making.newId(), appends: [], documents })
      if (outcome.outcome === 'committed') break
      if (outcome.outcome !== 'document-conflict' || tries >= limits.foldTries) throw errorOf(outcome)
      await sleep(backoffMs(tries, 1, 100))
      states = await readStates(storage, names)
    }
  }
}

/** Where nothing may be made known: what clashes with what is stored is refused all the same, for it would be read wrong. */
export async function checkRegistered(storage: Pick<Storage, 'getDocuments'>, shapes: readonly Shape[]): Promise<void> {
  const { kept, names } = keptIn(shapes)
  const states = await readStates(storage, names)
  for (const shape of kept) checkSame(states[names.indexOf(shape.name)]?.state, shape)
}

function keptIn(shapes: readonly Shape[]): { readonly kept: readonly Shape[]; readonly names: readonly string[] } {
  const kept = shapes.filter(({ lifecycle }) => lifecycle !== 'live')
  return { kept, names: [...new Set(kept.map(({ name }) => name))] }
}

/** The version as it is stored, if it is. Throws `ProjectionClash`. */
function checkSame(state: ProjectionState | undefined, { name, version, facts }: Shape): VersionStatus | undefined {
  const known = state?.versions.find((one) => one.version === version)
  if (known === undefined) return undefined
  const differs = Object.keys(facts).filter((fact) => {
    const key = fact as keyof ShapeFacts
    return canonicalJson(facts[key]) !== canonicalJson(known.facts[key])
  })
  if (differs.length > 0) throw new ProjectionClash({ projection: name, version, differs })
  return known
}

/** The same state where it has the version already. */
function withVersion(state: ProjectionState | undefined, shape: Shape, emptyLog: boolean): ProjectionState {
  const { name, version, facts } = shape
  if (state && checkSame(state, shape)) return state
  const first = state === undefined && (emptyLog || shape.lifecycle === 'async')
  const added: VersionStatus = { version, state: first ? 'active' : 'building', facts }
  return { ...(state ?? { name }), ...(first && { reads: version }), versions: [...(state?.versions ?? []), added] }
}

function storedOf({ body, version }: Document): StoredState {
  const { kind: _, ...state } = JSON.parse(body) as ProjectionState & { kind: string }
  return { state, version }
}

function stateKey(name: string): DocumentKey {
  return { collection: projectionStates.collection, key: `state/${name}` }
}

function fenceKey(name: string, shard: number): DocumentKey {
  return { collection: projectionStates.collection, key: `fence/${name}/${shard}` }
}

function shardOf(stream: string): number {
  let hash = 0
  for (let index = 0; index < stream.length; index++) hash = (Math.imul(hash, 31) + stream.charCodeAt(index)) | 0
  return (hash >>> 4) % fences
}

/** A version whose views inline commits must keep, or whose building they must notice the end of. */
export interface Keeper {
  readonly state: StoredState
  readonly version: number
  readonly streamTypes: readonly string[]
  /** As they are recorded: also those that an upcaster gives another name. */
  readonly types: ReadonlySet<string>
  /** Absent: this process has no definition of it. */
  readonly shape?: Shape
  /** It is not only built: a commit folds its views. */
  readonly folds: boolean
  /** Whether a view holds all earlier events of its streams. */
  readonly whole: boolean
}

export function keepersIn(
  stored: StoredState,
  shapes: readonly Shape[],
  upcasters: readonly Upcaster[],
): readonly Keeper[] {
  const { name, versions } = stored.state
  return versions
    .filter(({ state, facts }) => state !== 'retired' && facts.lifecycle === 'inline')
    .map((one): Keeper => {
      const { version, state, facts } = one
      const shape = shapes.find((known) => known.name === name && known.version === version)
      const { types = [] } = withOldTypesOf(upcasters, { types: facts.types })
      return {
        ...{ state: stored, version, streamTypes: facts.streamTypes, types: new Set(types) },
        ...{ folds: isKept(one), whole: state === 'active' },
        ...(shape && { shape }),
      }
    })
}

/** Whether the append has events for its views, or may not be made without its definition. */
export function concerns(
  of: Pick<Keeper, 'streamTypes' | 'types'> & Partial<Pick<Keeper, 'folds' | 'shape'> & Pick<TableShape, 'forget'>>,
  { stream, events, tombstone }: StreamAppend,
): boolean {
  if (events.length === 0 || !isOf(of, stream)) return false
  // Whoever forgets the stream must know the views that hold content of it.
  if (tombstone) return of.forget !== undefined || (of.folds === true && of.shape === undefined)
  return events.some(({ type }) => of.types.has(type))
}

/** Whether streams of its type make the views. */
export function isOf({ streamTypes = [] }: Pick<LogFilter, 'streamTypes'>, stream: string): boolean {
  return streamTypes.length === 0 || streamTypes.includes(streamTypeOf(stream))
}

/** What this process knows of all states. */
export interface KnownStates {
  /** As of no longer than `limits.projectionStateMs` ago. */
  current(): Promise<ReadonlyMap<string, StoredState>>
  /** As of now. */
  refreshed(): Promise<ReadonlyMap<string, StoredState>>
  /** Something has shown that what is known is no longer so. */
  expire(): void
}

/** `names`: those that are defined here, which are read strongly consistent. */
export function createKnownStates(
  storage: Pick<Storage, 'getDocuments' | 'queryDocuments'>,
  names: readonly string[],
): KnownStates {
  let known: ReadonlyMap<string, StoredState> = new Map()
  let readAt = Number.NEGATIVE_INFINITY

  async function refreshed(): Promise<ReadonlyMap<string, StoredState>> {
    const asked = performance.now()
    const [all, mine] = await Promise.all([listStates(storage), readStates(storage, names)])
    known = new Map([...all, ...mine.filter((state) => state !== undefined)].map((one) => [one.state.name, one]))
    readAt = asked
    return known
  }
  return {
    refreshed,
    expire() {
      readAt = Number.NEGATIVE_INFINITY
    },
    current: async () => (performance.now() - readAt < limits.projectionStateMs ? known : refreshed()),
  }
}
