/**
 * Versions of a projection: a new one is built beside the one in use (building), kept beside it once it has caught up (dual),
 * read instead of it (switched), and the old one is given up (retired). Each step is one commit of the state; what lies between
 * two steps is the runner's, and goes on wherever it was left.
 */
import { errorOf } from './append.ts'
import type { Background } from './background.ts'
import {
  type Checkpoint,
  changeCheckpoint,
  checkpointChange,
  checkpointKey,
  checkpointOf,
  readCheckpoint,
} from './checkpoint.ts'
import { guardOf } from './document.ts'
import { InvalidArgument } from './errors.ts'
import type { Lease } from './lease.ts'
import { limits } from './limits.ts'
import type { Shape } from './projection.ts'
import { ProjectionNotFound, ViewNotReady } from './projection-errors.ts'
import {
  isKept,
  type ProjectionState,
  readStates,
  type StoredState,
  stateWrites,
  type VersionState,
} from './projection-state.ts'
import type { DocumentWrite } from './storage.ts'
import { backoffMs, sleep } from './turn.ts'

type Tools = Pick<Background, 'storage' | 'queue' | 'making'>

export async function stateOf({ storage }: Pick<Tools, 'storage'>, name: string): Promise<StoredState> {
  const [state] = await readStates(storage, [name])
  if (state === undefined) throw new ProjectionNotFound({ projection: name })
  return state
}

interface Step {
  readonly state: ProjectionState
  /** What is written in the same commit. */
  readonly with?: readonly DocumentWrite[]
}

/** One step. `change` may be called again; the same state changes nothing. */
export async function changeState(
  { storage, queue, making }: Tools,
  name: string,
  change: (state: ProjectionState) => Step | Promise<Step>,
): Promise<ProjectionState> {
  for (let tries = 1; ; tries++) {
    const known = await stateOf({ storage }, name)
    const next = await change(known.state)
    if (next.state === known.state) return next.state
    const documents = [...stateWrites(next.state, known), ...(next.with ?? [])]
    const outcome = await queue.add({ id: making.newId(), appends: [], documents })
    if (outcome.outcome === 'committed') return next.state
    if (outcome.outcome !== 'document-conflict' || tries >= limits.foldTries) throw errorOf(outcome)
    await sleep(backoffMs(tries, limits.foldBackoffMs, limits.foldBackoffMsMax))
  }
}

export function versionStateOf(state: ProjectionState, version: number): VersionState | undefined {
  return state.versions.find((one) => one.version === version)?.state
}

export function withState(state: ProjectionState, version: number, to: VersionState): ProjectionState {
  return { ...state, versions: state.versions.map((one) => (one.version === version ? { ...one, state: to } : one)) }
}

/** Whether everything that was recorded before the version became dual is in its views. */
export function isWhole({ position, until, erasing }: Checkpoint): boolean {
  return until !== undefined && position >= until && !erasing
}

/** Whether readers may have it: it was built, or it was in use from the log's first event on, where nobody had to build it. */
export function isBuilt(
  { reads, before }: ProjectionState,
  { version, checkpoint }: { readonly version: number; readonly checkpoint: Checkpoint | undefined },
): boolean {
  if (checkpoint?.until !== undefined) return isWhole(checkpoint)
  return (version === reads || version === before) && !checkpoint?.building && !checkpoint?.erasing
}

/**
 * What follows once the runner has caught up with the log: `'again'` when it next has, nothing more, or its end, for an
 * inline version is kept by the commits themselves once it is whole. `since`: when the version was known to be there, on the
 * monotonic clock. The signal says that the lease was lost, or is to be given back.
 */
export async function caughtUp(
  background: Background,
  shape: Shape,
  { lease, since, signal }: { readonly lease: Lease<Checkpoint>; readonly since: number; readonly signal: AbortSignal },
): Promise<'again' | 'goes on' | 'ends'> {
  const { storage } = background
  const { name, version, lifecycle } = shape
  // Whoever begins it anew meanwhile counts this up: nothing that is known here holds for what he asks for.
  const { epoch } = lease.body
  let { state } = await stateOf(background, name)
  if (versionStateOf(state, version) === 'building') {
    if (lifecycle === 'inline' && !lease.body.known && !isNoticed(state, version)) {
      // Who has read the states before this version was there does not look whether it is built; soon he reads them again.
      await sleep(since + limits.projectionStateMs + limits.settleMs - performance.now(), signal)
      if (signal.aborted) return 'again'
    }
    // What an earlier build, or one that was begun anew meanwhile, has left here is no end of this one.
    if (lease.body.until !== undefined) await lease.write({ body: ({ until: _, ...body }) => body })
    state = await changeState(background, name, (now) => {
      const still = versionStateOf(now, version) === 'building' && lease.body.epoch === epoch
      return { state: still ? withState(now, version, 'dual') : now, with: [lease.check] }
    })
  }
  if (lease.body.until === undefined) {
    // Whatever comes after the step to dual is folded by whoever commits it; where positions come later, they must have come.
    if (lifecycle === 'inline' && storage.abilities.positions === 'later') await sleep(limits.settleMs, signal)
    if (signal.aborted) return 'again'
    const { head } = await storage.readLog({ after: 0, direction: 'backwards', limit: 1 })
    await lease.write({
      body: (body) => (body.epoch === epoch ? { ...body, known: true, until: body.until ?? head } : body),
    })
  }
  if (!isWhole(lease.body) || lease.body.epoch !== epoch) return 'again'
  // Of the first version, or one that was built again in its place, nobody has to say that it is to be read.
  if (state.reads === undefined) {
    await changeState(background, name, (now) => {
      const readable = versionStateOf(now, version) === 'dual' && isWhole(lease.body)
      return { state: now.reads === undefined && readable ? read(now, version) : now, with: [lease.check] }
    })
  }
  if (lease.body.building) await lease.write({ body: ({ building: _, ...body }) => body })
  return lifecycle === 'async' ? 'goes on' : 'ends'
}

/** Whether whatever is committed for its views checks the fence for another version's already. */
function isNoticed({ versions }: ProjectionState, version: number): boolean {
  const asked = versions.find((one) => one.version === version)?.facts
  const covers = (some: readonly string[], all: readonly string[]) =>
    all.length === 0 || (some.length > 0 && some.every((one) => all.includes(one)))
  return versions.some(
    (one) =>
      isKept(one) &&
      one.facts.lifecycle === 'inline' &&
      asked !== undefined &&
      covers(asked.streamTypes, one.facts.streamTypes) &&
      covers(asked.types, one.facts.types),
  )
}

function read({ before, ...state }: ProjectionState, version: number): ProjectionState {
  const kept = before !== undefined && before !== version && { before }
  return withState({ ...state, ...kept, reads: version }, version, 'active')
}

/** Readers read it from now on; the one before is kept too, until it is dropped. */
export async function switchTo(background: Tools, name: string, version?: number): Promise<ProjectionState> {
  const { state } = await stateOf(background, name)
  const target = version ?? newest(state)
  if (target === state.reads) return state
  if (versionStateOf(state, target) === undefined) throw noVersion(name, target)
  return changeState(background, name, async (now) =>
    now.reads === target ? { state: now } : turnTo(background, now, target),
  )
}

export function rollBack(background: Tools, name: string): Promise<ProjectionState> {
  return changeState(background, name, async (now) => {
    if (now.before === undefined || versionStateOf(now, now.before) !== 'dual') {
      throw new InvalidArgument('name', `projection "${name}" has no version to go back to`)
    }
    return turnTo(background, now, now.before)
  })
}

/** Throws `ViewNotReady` where the version is not built, or is built anew; whoever begins that meanwhile makes the step void. */
async function turnTo({ storage }: Pick<Tools, 'storage'>, state: ProjectionState, version: number): Promise<Step> {
  const of = { name: state.name, version }
  const document = await readCheckpoint(storage, of)
  const built = isBuilt(state, { version, checkpoint: document && checkpointOf(document) })
  if (versionStateOf(state, version) !== 'dual' || !built) throw new ViewNotReady({ projection: state.name, version })
  const guard = guardOf(document)
  return { state: turnedTo(state, version), with: [{ kind: 'check', key: checkpointKey(of), if: guard }] }
}

function turnedTo(state: ProjectionState, target: number): ProjectionState {
  const { reads, before } = state
  if (reads === undefined) return read(state, target)
  const kept = withState(withState(state, target, 'active'), reads, 'dual')
  // Beside the two of them no third one is kept.
  const third = before !== undefined && before !== target && before !== reads ? before : undefined
  return { ...(third === undefined ? kept : withState(kept, third, 'retired')), reads: target, before: reads }
}

export function noVersion(name: string, version: number): InvalidArgument {
  return new InvalidArgument('version', `projection "${name}" has no version ${version}`)
}

function newest({ versions }: ProjectionState): number {
  return Math.max(...versions.map(({ version }) => version))
}

/** What rebuilding begins with: after it the version's runner does the rest. False where there is nothing to do. */
export async function beginBuild(background: Tools, shape: Shape, how: 'beside' | 'again'): Promise<boolean> {
  const { name, version } = shape
  const { state } = await stateOf(background, name)
  const now = versionStateOf(state, version)
  if (now === undefined) throw new ViewNotReady({ projection: name, version })
  const document = await readCheckpoint(background.storage, shape)
  const built = isBuilt(state, { version, checkpoint: document && checkpointOf(document) })
  if (now === 'building' || (now === 'dual' && !built)) {
    const asked = (body: Checkpoint) => (body.building || isWhole(body) ? body : { ...body, building: true })
    await changeCheckpoint(background, shape, asked)
    return true
  }
  if (how === 'beside' && now !== 'retired') return false
  const begun = ({ until: _, paused: __, known, ...body }: Checkpoint) => {
    // While it was given up, nobody had to look whether it still is.
    const still = known && now !== 'retired' && { known }
    return { ...body, ...still, epoch: body.epoch + 1, building: true, erasing: true }
  }
  if (shape.lifecycle === 'async' && now !== 'retired') {
    await changeCheckpoint(background, shape, begun)
    return true
  }
  // Nobody keeps it any more before anything is erased; and whoever is to build it knows of no end of an earlier build.
  await changeState(background, name, async (known) => {
    const { reads, before, ...rest } = withState(known, version, 'building')
    return {
      state: {
        ...rest,
        ...(reads !== undefined && reads !== version && { reads }),
        ...(before !== undefined && before !== version && { before }),
      },
      with: (await checkpointChange(background.storage, shape, begun)).writes,
    }
  })
  return true
}
