/** What a projection is at: its versions, how far they have come, and what stands in their way. */

import { isBuilt } from './build.ts'
import { type Checkpoint, checkpointKey, checkpointOf } from './checkpoint.ts'
import type { Failure } from './failure.ts'
import { allParked } from './parked-view.ts'
import type { Lifecycle } from './projection.ts'
import { ProjectionNotFound } from './projection-errors.ts'
import type { StoredState, VersionState, VersionStatus } from './projection-state.ts'
import type { Storage } from './storage.ts'

export interface BuildProgress {
  readonly version: number
  readonly position: number
  /** Where it will be whole. */
  readonly of: number
}

export interface ProjectionStatus {
  readonly name: string
  /** Of the version that is read, or else of the newest one. */
  readonly version: number
  readonly lifecycle: Lifecycle
  readonly state: VersionState
  /** Of an asynchronous one: everything up to here is in the views. */
  readonly checkpoint?: number
  /** Position of the log's newest event. */
  readonly head: number
  /** Positions between the two; 0 of one that commits keep. */
  readonly lag: number
  readonly parked: number
  readonly paused: boolean
  /** Whose runner works on it; `here`: this store's. */
  readonly running?: { readonly here: boolean; readonly since: string }
  /** Why it does not move on. */
  readonly trouble?: Failure
  /** A version that is being built. */
  readonly building?: BuildProgress
  readonly reads?: number
  /** What `rollBack` goes back to. */
  readonly before?: number
  readonly versions: readonly { readonly version: number; readonly state: VersionState; readonly whole: boolean }[]
}

export async function checkpointFor(
  storage: Pick<Storage, 'getDocuments'>,
  of: { readonly name: string; readonly version: number },
): Promise<Checkpoint | undefined> {
  const [document] = await storage.getDocuments([checkpointKey(of)])
  return document && checkpointOf(document)
}

export async function statusOf(
  storage: Pick<Storage, 'getDocuments' | 'readLog' | 'queryDocuments'>,
  { state }: Pick<StoredState, 'state'>,
  isHere: (name: string, version: number) => boolean,
): Promise<ProjectionStatus> {
  const { name, reads, before, versions } = state
  const { head } = await storage.readLog({ after: 0, direction: 'backwards', limit: 1 })
  const checkpoints = await Promise.all(versions.map(({ version }) => checkpointFor(storage, { name, version })))
  const of = (one: VersionStatus | undefined) => one && checkpoints[versions.indexOf(one)]
  const shown = versions.find(({ version }) => version === reads) ?? versions.at(-1)
  if (shown === undefined) throw new ProjectionNotFound({ projection: name })
  const checkpoint = of(shown)
  const building = versions.find((one) => of(one)?.building)
  const built = of(building)
  const { version, state: now, facts } = shown
  const follows = facts.lifecycle === 'async'
  const position = checkpoint?.position ?? 0
  return {
    ...{ name, version, lifecycle: facts.lifecycle, state: now, head },
    ...(follows && { checkpoint: position }),
    lag: follows ? Math.max(0, head - position) : 0,
    parked: (await allParked(storage, { name, version })).length,
    paused: checkpoint?.paused === true,
    ...(checkpoint?.held && { running: { here: isHere(name, version), since: checkpoint.held.since } }),
    ...(checkpoint?.trouble && { trouble: checkpoint.trouble }),
    ...(building &&
      built && { building: { version: building.version, position: built.position, of: built.until ?? head } }),
    ...(reads !== undefined && { reads }),
    ...(before !== undefined && { before }),
    versions: versions.map(({ version, state: at }, index) => ({
      version,
      state: at,
      whole: at !== 'retired' && isBuilt(state, { version, checkpoint: checkpoints[index] }),
    })),
  }
}
