/** The store's projections: what they are at, and what is done about them. What runs is in `catch-up.ts`, what changes in `build.ts`. */

import { checkObject } from './argument.ts'
import { type Background, checkWritable, ringingBell } from './background.ts'
import { beginBuild, isWhole, noVersion, rollBack, stateOf, switchTo, versionStateOf } from './build.ts'
import { type Runner, type RunnerOptions, startRunner, type VersionRunner } from './catch-up.ts'
import { type Checkpoint, changeCheckpoint } from './checkpoint.ts'
import { dropVersion } from './drop.ts'
import { InvalidArgument } from './errors.ts'
import { backOff } from './feed.ts'
import { checkTerm } from './lease.ts'
import { limits } from './limits.ts'
import { allParked, type ParkedView, parkedPage } from './parked-view.ts'
import type { Shape } from './projection.ts'
import { ProjectionNotFound } from './projection-errors.ts'
import { type KnownStates, listStates, readStates, register, type StoredState } from './projection-state.ts'
import { type BuildProgress, checkpointFor, type ProjectionStatus, statusOf } from './projection-status.ts'
import { pageSize } from './read.ts'
import { refoldView } from './replay-parked.ts'
import { backoffMs, sleep, turn } from './turn.ts'
import { createBell } from './wake.ts'

export interface Projections {
  /** All that the store has ever had, by name; live ones keep nothing, and are not among them. */
  list(): Promise<readonly ProjectionStatus[]>
  /** Throws `ProjectionNotFound`. */
  status(name: string): Promise<ProjectionStatus>
  /**
   * Begins to run all asynchronous projections that the store was opened with, and whatever builds are unfinished. One runner
   * works on each version at a time, wherever it was started; the others wait.
   */
  start(options?: RunnerOptions): Runner
  /** One of them. */
  run(name: string, options?: RunnerOptions): Runner
  /** Nothing is folded by its runner any more, in whichever process; what commits fold stays as it is. */
  pause(name: string): Promise<void>
  resume(name: string): Promise<void>
  /**
   * Builds the newest version that the store was opened with, beside the one that is read, and then switches to it; or, where
   * that is read already, erases its views and builds them again. Goes on where an earlier one was left. With a key: one view.
   */
  rebuild(name: string, options?: RebuildOptions): Promise<ProjectionStatus>
  /** Readers read the version that was built, from one moment to the next. Throws `ViewNotReady`. */
  switch(name: string, options?: { readonly version?: number }): Promise<ProjectionStatus>
  /** Readers read the version before again, which is kept until it is dropped. */
  rollBack(name: string): Promise<ProjectionStatus>
  /** Erases the views of a version that is not read, or of the only one. By default the oldest. */
  drop(name: string, options?: { readonly version?: number }): Promise<void>
  /** Entities that are passed over since a handler has failed at them; in order of their keys. */
  parked(name: string, options?: ParkedOptions): Promise<ParkedViews>
  /** Makes parked views anew from their streams, all or one, and lets them go on where that succeeds. */
  replayParked(name: string, options?: ReplayParkedOptions): Promise<ReplayedViews>
}

export interface RebuildOptions extends RunnerOptions {
  readonly version?: number
  /** Only this view. */
  readonly key?: string
  /** `'by-hand'`: the new version is kept beside the one that is read, until `switch`. Default `'when-built'`. */
  readonly switch?: 'when-built' | 'by-hand'
  readonly onProgress?: (progress: BuildProgress) => void
}

export interface ParkedOptions {
  readonly version?: number
  /** `next` of the page before. */
  readonly cursor?: string
  /** 1 to 1,000; default 100. */
  readonly limit?: number
}

export interface ParkedViews {
  readonly parked: readonly ParkedView[]
  readonly next?: string
}

export interface ReplayParkedOptions {
  readonly version?: number
  readonly key?: string
}

export interface ReplayedViews {
  readonly replayed: number
  /** Those whose handler fails still. */
  readonly parked: number
}

interface Supervisor extends Runner {
  /** Something may be to be run. */
  look(): void
}

export function createProjections(
  background: Background,
  shapes: readonly Shape[],
  states: Pick<KnownStates, 'expire'>,
): Projections {
  const { storage } = background
  const kept = shapes.filter(({ lifecycle }) => lifecycle !== 'live')
  const runners = new Set<VersionRunner>()
  const supervisors = new Set<Supervisor>()

  function shapesNamed(name: string): readonly Shape[] {
    const found = kept.filter((shape) => shape.name === name).sort((a, b) => a.version - b.version)
    if (found.length > 0) return found
    throw new ProjectionNotFound({ projection: name, known: [...new Set(kept.map((shape) => shape.name))] })
  }

  function shapeOf(name: string, version?: number): Shape {
    const found = shapesNamed(name)
    const shape = version === undefined ? found.at(-1) : found.find((one) => one.version === version)
    if (shape) return shape
    const known = found.map((one) => one.version).join(', ')
    throw new InvalidArgument('version', `the store was opened with ${known} of projection "${name}", not ${version}`)
  }

  function begin(shape: Shape, options: RunnerOptions): VersionRunner {
    const runner = startRunner(background, shape, options)
    runners.add(runner)
    runner.ended.finally(() => runners.delete(runner)).catch(() => {})
    return runner
  }

  /** What it goes by has changed: for whoever runs it here, and for whoever reads it. */
  function poke(name: string): void {
    states.expire()
    for (const supervisor of supervisors) supervisor.look()
    for (const runner of runners) if (runner.shape.name === name) runner.poke()
  }

  /** Which of the shapes there is something to do for. */
  async function wanted(among: readonly Shape[]): Promise<readonly Shape[]> {
    const found = await Promise.all(
      among.map(async (shape) => {
        const { state } = await stateOf({ storage }, shape.name)
        const now = versionStateOf(state, shape.version)
        if (now === undefined || now === 'retired') return []
        const checkpoint = await checkpointFor(storage, shape)
        if (shape.lifecycle === 'async' && now !== 'building') return [shape]
        // Where nothing is read there is nothing to wait for.
        const asked = checkpoint?.building || state.reads === undefined
        return asked && now !== 'active' ? [shape] : []
      }),
    )
    return found.flat()
  }

  function runAll(among: readonly Shape[], options: RunnerOptions): Runner {
    checkObject(options, 'options')
    checkWritable(background)
    checkTerm(options.termMs)
    const stopping = new AbortController()
    const signal = options.signal ? AbortSignal.any([options.signal, stopping.signal]) : stopping.signal
    const begun = new Map<Shape, VersionRunner>()
    const bell = createBell()

    /** Also what others begin to build, or switch to, while this runs. */
    async function see(): Promise<void> {
      for (const shape of await wanted(among)) {
        if (signal.aborted || begun.has(shape)) continue
        const runner = begin(shape, { ...options, signal })
        begun.set(shape, runner)
        runner.ended.then(
          () => begun.delete(shape),
          () => bell.ring(),
        )
      }
    }

    async function run(): Promise<void> {
      const own = ringingBell({ other: bell, everyMs: limits.workPollMs, signal })
      let failures = 0
      for await (const _ of own.listen(signal)) {
        try {
          await see()
          failures = 0
        } catch (error) {
          if (signal.aborted || background.closing.aborted) break
          await backOff(error, ++failures, options, signal)
          own.ring()
        }
        // Where one gives up, that is told; the others end with it, so that it is not overlooked.
        await Promise.race([Promise.all([...begun.values()].map(({ ended }) => ended)), turn()])
      }
      await Promise.all([...begun.values()].map(({ ended }) => ended))
    }

    const runner: Supervisor = {
      ended: run().finally(finish),
      look: bell.ring,
      stop() {
        stopping.abort()
        return runner.ended.catch(() => {})
      },
    }
    async function finish(): Promise<void> {
      stopping.abort()
      await Promise.allSettled([...begun.values()].map(({ ended }) => ended))
      background.running.delete(runner)
      supervisors.delete(runner)
    }
    runner.ended.catch(() => {})
    background.running.add(runner)
    supervisors.add(runner)
    return runner
  }

  const shown = (stored: Pick<StoredState, 'state'>) => statusOf(storage, stored, isHere)

  function isHere(name: string, version: number): boolean {
    return [...runners].some(({ shape }) => shape.name === name && shape.version === version)
  }

  async function status(name: string): Promise<ProjectionStatus> {
    return shown(await stateOf({ storage }, name))
  }

  async function changeAll(name: string, change: (checkpoint: Checkpoint) => Checkpoint): Promise<void> {
    checkWritable(background)
    const { state } = await stateOf({ storage }, name)
    for (const { version, state: now } of state.versions) {
      if (now !== 'retired') await changeCheckpoint(background, { name, version }, change)
    }
    poke(name)
  }

  async function build(shape: Shape, options: RebuildOptions): Promise<void> {
    const { name, version } = shape
    const [before] = await readStates(storage, [name])
    await register(background, [shape])
    // What others have finished meanwhile is not begun once more.
    const beside = before?.state.reads !== undefined && before.state.reads !== version
    if (!(await beginBuild(background, shape, beside ? 'beside' : 'again'))) return
    poke(name)
    const stopping = new AbortController()
    const mine = isHere(name, version) ? undefined : begin(shape, { ...options, signal: stopping.signal })
    let failed: unknown
    mine?.ended.catch((error) => {
      failed = error
    })
    try {
      for (let looks = 1; ; looks++) {
        options.signal?.throwIfAborted()
        const [checkpoint, { state }] = await Promise.all([checkpointFor(storage, shape), stateOf({ storage }, name)])
        const { head } = await storage.readLog({ after: 0, direction: 'backwards', limit: 1 })
        if (checkpoint) options.onProgress?.({ version, position: checkpoint.position, of: checkpoint.until ?? head })
        const whole = checkpoint && isWhole(checkpoint)
        if (whole && versionStateOf(state, version) !== 'building') return
        if (failed !== undefined) throw failed
        await sleep(backoffMs(looks, 10, limits.checkpointMs), options.signal)
      }
    } finally {
      stopping.abort()
      await mine?.ended.catch(() => {})
      poke(name)
    }
  }

  return {
    async list() {
      return Promise.all((await listStates(storage)).filter(({ state }) => state.versions.length > 0).map(shown))
    },
    status,
    start: (options = {}) => runAll(kept, options),
    run: (name, options = {}) => runAll(shapesNamed(name), options),
    pause: (name) => changeAll(name, (body) => (body.paused ? body : { ...body, paused: true })),
    resume: (name) =>
      changeAll(name, (body) => {
        if (!body.paused) return body
        const { paused: _, ...rest } = body
        return rest
      }),
    async rebuild(name, options = {}) {
      checkObject(options, 'options')
      checkWritable(background)
      const shape = shapeOf(name, options.version)
      if (options.key !== undefined) {
        const { error } = await refoldView(background, shape, options.key)
        if (error !== undefined) throw error
        return status(name)
      }
      await build(shape, options)
      if (options.switch !== 'by-hand') await switchTo(background, name, shape.version)
      poke(name)
      return status(name)
    },
    async switch(name, { version } = {}) {
      checkWritable(background)
      await switchTo(background, name, version)
      poke(name)
      return status(name)
    },
    async rollBack(name) {
      checkWritable(background)
      await rollBack(background, name)
      poke(name)
      return status(name)
    },
    async drop(name, { version } = {}) {
      checkWritable(background)
      const { state } = await stateOf({ storage }, name)
      const oldest = Math.min(...state.versions.map((one) => one.version))
      await dropVersion(background, name, version ?? oldest)
      poke(name)
    },
    async parked(name, { version, cursor, limit } = {}) {
      const now = await status(name)
      if (version !== undefined && now.versions.every((one) => one.version !== version)) throw noVersion(name, version)
      const of = { name, version: version ?? now.version }
      const page = await parkedPage(storage, of, { cursor, limit: pageSize(limit) })
      return { parked: page.parked.map(({ parked }) => parked), ...(page.next !== undefined && { next: page.next }) }
    },
    async replayParked(name, { version, key } = {}) {
      checkWritable(background)
      const shape = shapeOf(name, version ?? (await status(name)).version)
      const keys = key === undefined ? (await allParked(storage, shape)).map(({ parked }) => parked.key) : [key]
      let replayed = 0
      for (const each of keys) if ((await refoldView(background, shape, each)).done) replayed++
      poke(name)
      return { replayed, parked: keys.length - replayed }
    },
  }
}
