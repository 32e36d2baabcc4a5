/** Deciders: the domain as three pure functions, and the loop that runs them against a stream. */

import type { Appended, AppendOptions } from './append.ts'
import { checkFunctions, checkList, checkObject, checkOrdinal } from './argument.ts'
import { canonicalJson } from './encoding.ts'
import { InvalidArgument, isStoreError, RevisionConflict, StreamForgotten } from './errors.ts'
import type { AnyEvent, Meta, NewEvent, Recorded } from './event.ts'
import { limits } from './limits.ts'
import type { EventPage, ReadOptions, Until } from './read.ts'
import { checkPolicy, type SnapshotPolicy } from './snapshot.ts'
import { backoffMs, sleep } from './turn.ts'

export interface Decider<Command, Event extends AnyEvent, State> {
  initialState(): State
  /** The state after the event. Gets recorded events, with revision, time and all. */
  evolve(state: State, event: Event): State
  /** What the command leads to; no event means that nothing is to be done. Throws to refuse the command. */
  decide(command: Command, state: State): readonly NewEvent<Event>[]
  /** Left out, its states are not kept. */
  readonly snapshot?: SnapshotPolicy
}

/** The reading half of a decider: all that `load` needs. */
export interface Fold<Event extends AnyEvent, State>
  extends Pick<Decider<never, Event, State>, 'initialState' | 'evolve' | 'snapshot'> {
  /** Of a state that began with a snapshot; where it does not, the stream is folded whole. Left out: always. */
  stillHolds?(state: State): boolean
}

export interface Loaded<State> {
  readonly state: State
  /** Of the last event folded; 0 for a stream without events. */
  readonly revision: number
}

export interface LoadOptions {
  /** Fold up to and with this revision, or what was recorded at or before this instant. */
  readonly at?: Until
  readonly signal?: AbortSignal
}

export interface ExecuteOptions {
  /** Laid under each event's own meta: `correlationId`, `causationId`, `traceparent`, `occurredAt` and what else there is. */
  readonly meta?: Meta
  /** How often to decide anew after a lost race; default and most 10. */
  readonly tries?: number
  /**
   * The revision that whoever gives the command has seen: it is decided on the stream as it was then, and recorded right
   * behind it or not at all. Where the decider gives its events ids, the same command may come again, and is answered as
   * the first time.
   */
  readonly expected?: number
  readonly signal?: AbortSignal
}

export interface Executed<Event extends AnyEvent, State> extends Loaded<State> {
  /** What was recorded now; empty where the decider had nothing to record. */
  readonly events: readonly Recorded<Event>[]
}

/** What of a store loading needs; any client of the same interface will do. */
export interface Loads {
  readPage<Event extends AnyEvent>(stream: string, options?: ReadOptions): Promise<EventPage<Event>>
  readonly resuming?: Resuming
}

/** What lets a fold begin behind the first event. */
export interface Resuming {
  /** Absent where no snapshot holds, or none before `at`. */
  resume<Event extends AnyEvent, State>(
    policy: SnapshotPolicy,
    stream: string,
    options: LoadOptions,
  ): Promise<Resumed<Event, State> | undefined>
  /** Told what a load of the whole stream had to do; does not keep it waiting. */
  loaded(policy: SnapshotPolicy, stream: string, cost: LoadCost): void
}

export interface Resumed<Event extends AnyEvent, State> extends Loaded<State> {
  /** The events right behind the revision. */
  readonly page: EventPage<Event>
}

export interface LoadCost {
  /** That were read. */
  readonly events: number
  readonly ms: number
}

export interface LoadsAndAppends extends Loads {
  append<Event extends AnyEvent>(
    stream: string,
    events: readonly NewEvent<Event>[],
    options?: AppendOptions,
  ): Promise<Appended>
}

export async function load<Event extends AnyEvent, State>(
  store: Loads,
  stream: string,
  fold: Fold<Event, State>,
  options: LoadOptions = {},
): Promise<Loaded<State>> {
  checkObject(options, 'options')
  checkFunctions(fold, 'fold', ['initialState', 'evolve'])
  const policy = fold.snapshot
  if (policy !== undefined) checkPolicy(policy, 'fold.snapshot')
  if (policy === undefined || store.resuming === undefined) {
    const { state, revision } = await foldAll(store, { stream, fold, options })
    return { state, revision }
  }
  const started = performance.now()
  const resumed = await store.resuming.resume<Event, State>(policy, stream, options)
  const { state, revision, events } = await foldOver(store, { stream, fold, options, resumed })
  if (options.at === undefined) store.resuming.loaded(policy, stream, { events, ms: performance.now() - started })
  return { state, revision }
}

export interface Folding<Event extends AnyEvent, State> {
  readonly stream: string
  readonly fold: Fold<Event, State>
  readonly options: LoadOptions
  readonly resumed?: Resumed<Event, State> | undefined
}

export interface Folded<State> extends Loaded<State> {
  /** The last event that was read now. */
  readonly last: Recorded | undefined
  readonly events: number
}

/** From where it is resumed, unless the events behind that show that it does not hold. */
export async function foldOver<Event extends AnyEvent, State>(
  store: Pick<Loads, 'readPage'>,
  { resumed, ...folding }: Folding<Event, State>,
): Promise<Folded<State>> {
  const folded = await foldAll(store, { ...folding, resumed })
  const holds = resumed === undefined || folding.fold.stillHolds?.(folded.state) !== false
  return holds ? folded : foldAll(store, folding)
}

/** Page after page, from the beginning or from where the fold is resumed. */
async function foldAll<Event extends AnyEvent, State>(
  store: Pick<Loads, 'readPage'>,
  { stream, fold, options, resumed }: Folding<Event, State>,
): Promise<Folded<State>> {
  const { at, signal } = options
  let state = resumed === undefined ? fold.initialState() : resumed.state
  let revision = resumed?.revision ?? 0
  let page = resumed?.page
  let last: Recorded | undefined
  for (let events = 0; ; ) {
    page ??= await store.readPage<Event>(stream, {
      after: revision,
      limit: limits.pageRecords,
      ...(at !== undefined && { until: at }),
      ...(signal && { signal }),
    })
    for (const event of page.events) state = fold.evolve(state, event)
    events += page.events.length
    last = page.events.at(-1) ?? last
    revision = last?.revision ?? revision
    if (!page.more) return { state, revision, last, events }
    page = undefined
  }
}

/**
 * Load, decide, append at the loaded revision; after a lost race again, a bounded number of times. Where a revision is
 * expected, nothing is decided on another one, and a race is lost for good.
 */
export async function execute<Command, Event extends AnyEvent, State>(
  store: LoadsAndAppends,
  decider: Decider<Command, Event, State>,
  stream: string,
  command: Command,
  options: ExecuteOptions = {},
): Promise<Executed<Event, State>> {
  checkObject(options, 'options')
  checkFunctions(decider, 'decider', ['initialState', 'evolve', 'decide'])
  const most = options.tries ?? limits.executeTries
  if (!Number.isInteger(most) || most < 1 || most > limits.executeTries) {
    throw new InvalidArgument('tries', `must be 1 to ${limits.executeTries}`)
  }
  const { expected } = options
  if (expected !== undefined) checkOrdinal(expected, 'expected')
  const aborting = options.signal ? { signal: options.signal } : {}
  for (let tries = 1; ; tries++) {
    const { state, revision } =
      expected === undefined
        ? await load(store, stream, decider, aborting)
        : await loadAt(store, stream, { fold: decider, options: { at: expected, ...aborting } })
    const decided = decider.decide(command, state)
    checkList(decided, 'decider.decide(…)')
    if (decided.length === 0) return { state, revision, events: [] }
    try {
      const events = await record(store, stream, withMeta(decided, options.meta), { expected: revision, ...aborting })
      return { state: events.reduce<State>(decider.evolve, state), revision: revision + events.length, events }
    } catch (error) {
      if (!isStoreError(error, 'revision-conflict') || expected !== undefined || tries >= most) throw error
      await sleep(backoffMs(tries, 1, 100))
    }
  }
}

/** The state at just this revision. Throws `RevisionConflict` where the stream is not that long, `StreamForgotten`. */
async function loadAt<Event extends AnyEvent, State>(
  store: Loads,
  stream: string,
  { fold, options }: { readonly fold: Fold<Event, State>; readonly options: LoadOptions & { readonly at: number } },
): Promise<Loaded<State>> {
  const { at, signal } = options
  if (at === 0) return { state: fold.initialState(), revision: 0 }
  const loaded = await load(store, stream, fold, options)
  if (loaded.revision === at) return loaded
  const { details } = await store.readPage(stream, { direction: 'backwards', limit: 1, ...(signal && { signal }) })
  if (details?.forgotten) throw new StreamForgotten(stream)
  throw new RevisionConflict({ stream, expected: at, actual: details?.revision ?? 0 })
}

async function record<Event extends AnyEvent>(
  store: LoadsAndAppends,
  stream: string,
  events: readonly NewEvent<Event>[],
  options: AppendOptions,
): Promise<readonly Recorded<Event>[]> {
  const { ids, first, revision, position, time } = await store.append(stream, events, options)
  return events.map((event, index) => ({
    ...event,
    // What a reader of the log will see, and not the caller's own object.
    data: event.data === undefined ? null : JSON.parse(canonicalJson(event.data)),
    meta: event.meta ?? null,
    tags: event.tags ?? [],
    id: ids[index] ?? '',
    stream,
    revision: first + index,
    ...(position !== undefined && { position: position - (revision - first) + index }),
    time,
  })) as readonly Recorded<Event>[]
}

function withMeta<Event extends AnyEvent>(
  events: readonly NewEvent<Event>[],
  meta: Meta | undefined,
): readonly NewEvent<Event>[] {
  return meta === undefined ? events : events.map((event) => ({ ...event, meta: { ...meta, ...event.meta } }))
}
