/** The store's state snapshots: taken by a schedule or on demand, listed, pruned, and restored where views were lost. */
import { checkFunctions, checkList, checkObject } from './argument.ts'
import { type Background, checkCount, checkWritable } from './background.ts'
import { InvalidArgument, Unsupported } from './errors.ts'
import { statesKind } from './job.ts'
import { limits } from './limits.ts'
import { type ObjectStore, watchedObjects } from './object-store.ts'
import type { Shape } from './projection.ts'
import type { Projections } from './projections.ts'
import { sweepStates } from './state-forgetting.ts'
import { checkChosen, chosenOf, restoreOne } from './state-restoring.ts'
import {
  listStateObjects,
  manifestKey,
  readManifest,
  type StateSnapshot,
  snapshotOfManifest,
} from './state-snapshot.ts'
import { type StatesTakeOptions, takeStates } from './state-taking.ts'
import type { JobHandlers } from './worker.ts'

export interface States {
  /** Writes all views down, while others write; nobody waits for it. Throws `StoreBusy` where another process does so too. */
  take(options?: StatesTakeOptions): Promise<StateSnapshot>
  /** All there are, the oldest first. Throws `ObjectDamaged` for one whose manifest is not whole. */
  list(): Promise<readonly StateSnapshot[]>
  /** Deletes the oldest, and what those that broke off have left; keeps so many, at least 1. */
  prune(options: { readonly keep: number }): Promise<{ readonly pruned: readonly number[] }>
  /**
   * Puts the views of a snapshot back, and resolves once they have caught up with the log; until then they are not read.
   * Throws before anything is changed where it is damaged, of another log, or of another version than the store was opened
   * with.
   */
  restore(options?: StatesRestoreOptions): Promise<StatesRestored>
}

export interface StatesRestoreOptions {
  /** Default: the newest. */
  readonly number?: number
  /** Default: all that are in it. */
  readonly projections?: readonly string[]
  /** Ends it; what was begun is built from the log. */
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: StatesProgress) => void
}

export interface StatesProgress {
  readonly projection: string
  /** Views that are put back, then positions that they catch up to. */
  readonly phase: 'restoring' | 'catching up'
  readonly done: number
  readonly of: number
}

export interface StatesRestored {
  readonly number: number
  readonly projections: readonly {
    readonly name: string
    readonly version: number
    readonly views: number
    /** From where it has caught up: 0 where it had to be built from the log. */
    readonly position: number
  }[]
}

type Tools = Background & {
  readonly objects: ObjectStore | undefined
  readonly shapes: readonly Shape[]
  readonly projections: Pick<Projections, 'rebuild' | 'status'>
}

export function createStates({ projections, ...background }: Tools): { face: States; handlers: JobHandlers } {
  const { shapes } = background
  const objects = background.objects && watchedObjects(background.objects)
  const opened = (): ObjectStore => {
    if (objects !== undefined) return objects
    throw new Unsupported(
      'states',
      'The store was opened without a place for state snapshots; give openStore { states }',
    )
  }

  const face: States = {
    async take(options = {}) {
      const objects = opened()
      checkObject(options, 'options')
      if (options.projections !== undefined) checkList(options.projections, 'projections')
      return snapshotOfManifest(await takeStates({ ...background, objects }, options))
    },
    async list() {
      const objects = opened()
      const found: StateSnapshot[] = []
      for (const number of (await listStateObjects(objects)).numbers) {
        found.push(snapshotOfManifest(await readManifest(objects, number)))
      }
      return found
    },
    async prune(options) {
      const objects = opened()
      checkObject(options, 'options')
      const keep = checkCount(options.keep, 'keep', Number.MAX_SAFE_INTEGER)
      const { numbers } = await listStateObjects(objects)
      const pruned = numbers.slice(0, -keep)
      for (const number of pruned) await objects.delete(manifestKey(number))
      await sweepStates(objects)
      return { pruned }
    },
    async restore(options = {}) {
      const objects = opened()
      checkObject(options, 'options')
      checkWritable(background)
      const { signal, onProgress } = options
      if (options.projections !== undefined) checkList(options.projections, 'projections')
      const { numbers } = await listStateObjects(objects)
      const number = options.number ?? numbers.at(-1)
      if (number === undefined) throw new InvalidArgument('number', `there is no state snapshot in ${objects.name}`)
      if (!numbers.includes(number)) {
        const known = numbers.join(', ') || 'none'
        throw new InvalidArgument(
          'number',
          `there is no state snapshot ${number} in ${objects.name}; there is ${known}`,
        )
      }
      const manifest = await readManifest(objects, number)
      const chosen = chosenOf(manifest, shapes, options.projections)
      const restoring = { ...background, objects }
      await checkChosen(restoring, { number, chosen }, signal)
      const restored: StatesRestored['projections'][number][] = []
      for (const { shape, manifest } of chosen) {
        signal?.throwIfAborted()
        const { name, version, views } = manifest
        const told = (phase: StatesProgress['phase']) => (done: number, of: number) =>
          onProgress?.({ projection: name, phase, done, of })
        const outcome = await restoreOne(restoring, { shape, manifest }, (done) => told('restoring')(done, views))
        // A version that is read instead of this one stays so.
        const { reads = version } = await projections.status(name)
        await projections.rebuild(name, {
          ...{ version, switch: reads === version ? 'when-built' : 'by-hand', ...(signal && { signal }) },
          onProgress: ({ position, of }) => told('catching up')(position, of),
        })
        restored.push({ name, version, views, position: outcome === 'restored' ? manifest.position : 0 })
      }
      return { number, projections: restored }
    },
  }

  async function run(input: unknown, signal: AbortSignal): Promise<object> {
    const { keep = limits.statesKept, projections } = (input ?? {}) as {
      keep?: number
      projections?: readonly string[]
    }
    const { number, position } = await face.take({ ...(projections && { projections }), signal })
    const { pruned } = await face.prune({ keep })
    return { number, position, pruned }
  }

  const handlers: JobHandlers = { [statesKind]: async ({ job, signal }) => ({ result: await run(job.input, signal) }) }
  return { face, handlers: objects ? handlers : {} }
}

export function checkStatesPlace(objects: ObjectStore): void {
  checkFunctions(objects, 'states', ['put', 'get', 'list', 'delete'])
}
