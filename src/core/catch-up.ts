/**
 * The runner of one version of a projection: it follows the log and folds it into the views. One at a time works, under the
 * lease on the checkpoint; all that it writes checks that lease. A batch is folded once for each view and split into commits,
 * the checkpoint last; a view tells what it holds, so whatever was written before a crash is passed over after it.
 */
import { type Background, checkWritable, type Running, type TroubleOptions } from './background.ts'
import { type Batch, readBatch } from './batch.ts'
import { caughtUp, versionStateOf } from './build.ts'
import { type Checkpoint, checkpointOf, checkpointPlace, logIdOf, newCheckpoint, readCheckpoint } from './checkpoint.ts'
import { eraseViews } from './erase-views.ts'
import { isStoreError } from './errors.ts'
import { failureOf } from './failure.ts'
import { backOff } from './feed.ts'
import { createFolder, type Folder, type FoldingOptions, Overtaken } from './folder.ts'
import { checkTerm, createWatch, type Lease, takeLease, type Watch } from './lease.ts'
import { limits } from './limits.ts'
import { parkedViews } from './parked-view.ts'
import { collectionsOf, type Shape } from './projection.ts'
import { readStates } from './projection-state.ts'
import { sleep } from './turn.ts'
import { type Bell, createBell } from './wake.ts'

export interface RunnerOptions extends TroubleOptions, FoldingOptions {
  /** Stops it. */
  readonly signal?: AbortSignal
  /** A runner that has gone is taken over from after this time; default 15,000. */
  readonly termMs?: number
  /** Called whenever all there is has been folded, with the position up to which the log was looked at. */
  readonly onCaughtUp?: (position: number) => void
}

export interface Runner extends Running {
  /** Resolves when it has stopped; rejects where it gave up. */
  readonly ended: Promise<void>
}

export interface VersionRunner extends Runner {
  readonly shape: Shape
  /** Something that it goes by has changed. */
  poke(): void
}

export function startRunner(background: Background, shape: Shape, options: RunnerOptions = {}): VersionRunner {
  checkWritable(background)
  const termMs = checkTerm(options.termMs)
  const stopping = new AbortController()
  const bell = createBell()
  const poked = { now: false }
  const since = performance.now()
  const runner: VersionRunner = {
    shape,
    ended: run().finally(finish),
    poke() {
      poked.now = true
      bell.ring()
    },
    stop() {
      stopping.abort()
      return runner.ended.catch(() => {})
    },
  }
  const stop = () => stopping.abort()
  runner.ended.catch(() => {})
  background.running.add(runner)
  options.signal?.addEventListener('abort', stop)
  if (options.signal?.aborted) stop()
  return runner

  async function run(): Promise<void> {
    const { signal } = stopping
    const watch = createWatch()
    let failures = 0
    while (!signal.aborted) {
      try {
        const lease = await take(background, shape, { watch, termMs })
        if (lease === 'ended') return
        if (typeof lease === 'number') await idle(bell, lease, signal)
        else {
          const healthy = () => {
            failures = 0
          }
          if ((await work({ background, shape, options, lease, bell, poked, signal, healthy, since })) === 'ended')
            return
        }
      } catch (error) {
        if (signal.aborted || isStoreError(error, 'store-closed')) return
        failures++
        if (!mayHeal(error)) throw error
        await backOff(error, failures, options, signal)
      }
    }
  }

  function finish(): void {
    stopping.abort()
    background.running.delete(runner)
    options.signal?.removeEventListener('abort', stop)
  }
}

function mayHeal(error: unknown): boolean {
  return !isStoreError(error) || (error.code !== 'position-beyond-head' && error.code !== 'foreign-log')
}

async function idle(bell: Bell, ms: number, signal: AbortSignal): Promise<void> {
  const rung = new AbortController()
  const either = AbortSignal.any([rung.signal, signal])
  const listening = (async () => {
    let first = true
    for await (const _ of bell.listen(either)) {
      if (!first) rung.abort()
      first = false
    }
  })()
  await sleep(ms, either)
  rung.abort()
  await listening
}

/** The lease; or after how many ms to look again, while another has it or nobody is to work. */
async function take(
  background: Background,
  shape: Shape,
  { watch, termMs }: { readonly watch: Watch; readonly termMs: number },
): Promise<Lease<Checkpoint> | number | 'ended'> {
  const { storage, queue, making, clock } = background
  if (!(await isWanted(background, shape))) return 'ended'
  const document = await readCheckpoint(storage, shape)
  const body = document ? checkpointOf(document) : newCheckpoint(shape, await logIdOf(storage))
  if (body.paused) return limits.workPollMs
  const { key } = checkpointPlace(shape)
  const [left = 0] = watch.look([{ key, held: body.held }])
  if (left > 0) return Math.min(left, limits.workPollMs)
  const held = { owner: making.newId(), since: new Date(clock()).toISOString(), termMs, beat: 0 }
  const leasing = { storage, queue, newId: making.newId }
  const next = { body: { ...body, held }, previous: document }
  return (await takeLease<Checkpoint>(leasing, checkpointPlace(shape), next)) ?? 0
}

async function isWanted(background: Background, { name, version }: Shape): Promise<boolean> {
  const [stored] = await readStates(background.storage, [name])
  const state = stored && versionStateOf(stored.state, version)
  return state !== undefined && state !== 'retired'
}

interface Work {
  readonly background: Background
  readonly shape: Shape
  readonly options: RunnerOptions
  readonly lease: Lease<Checkpoint>
  readonly bell: Bell
  /** Whether to look what others have changed. */
  readonly poked: { now: boolean }
  readonly signal: AbortSignal
  readonly healthy: () => void
  /** When it was begun, on the monotonic clock. */
  readonly since: number
}

/** Until it is stopped, paused, or has lost the lease; gives the lease back, if it still has it. */
async function work(work: Work): Promise<'ended' | 'left'> {
  const { background, shape, lease, bell, signal } = work
  const leaving = new AbortController()
  const ended = AbortSignal.any([signal, lease.lost, leaving.signal])
  const following = createFollowing(work)
  const ticking = setInterval(following.tick, limits.workPollMs)
  let broken: unknown
  let trouble: unknown
  const waking = (async () => {
    for await (const _ of background.storage.wake(ended)) bell.ring()
  })().catch((error) => {
    broken = error
    bell.ring()
  })
  try {
    // Between the look at the state and the lease it may have been dropped.
    if (!(await isWanted(background, shape))) return 'ended'
    for await (const _ of bell.listen(ended)) {
      if (broken !== undefined) throw broken
      const next = await following.look()
      if (next !== 'wait') return next
    }
    return 'left'
  } catch (error) {
    trouble = error
    throw error
  } finally {
    clearInterval(ticking)
    leaving.abort()
    await waking
    await following.end()
    await giveBack(work, trouble).catch(() => {})
    lease.end()
  }
}

/** Without waiting for the term to run out the next one can take it; it tells what went wrong. */
async function giveBack({ lease, background, signal }: Work, trouble: unknown): Promise<void> {
  if (lease.lost.aborted) return
  const told = trouble === undefined || signal.aborted ? undefined : failureOf(trouble, background.clock())
  await lease.write({
    body: ({ held: _, trouble: before, ...body }) => {
      const kept = told ?? (signal.aborted ? before : undefined)
      return { ...body, ...(kept && { trouble: kept }) }
    },
  })
}

interface Following {
  /** Folds all there is. */
  look(): Promise<'wait' | 'left' | 'ended'>
  /** Others may have changed what it goes by. */
  tick(): void
  end(): Promise<void>
}

function createFollowing({ background, shape, options, lease, bell, poked, signal, healthy, since }: Work): Following {
  const { storage, reading } = background
  let folder: Folder = createFolder(background, shape, { ...options, lease })
  let { epoch, position: seen } = lease.body
  let most: number = limits.catchUpEvents
  let overtaken = 0
  let toldAt = -1
  let build: Awaited<ReturnType<typeof caughtUp>> = 'again'
  let flushing: ReturnType<typeof setTimeout> | undefined

  /** Somebody has changed what is gone by. */
  function startOver(): void {
    folder = createFolder(background, shape, { ...options, lease })
    epoch = lease.body.epoch
    seen = lease.body.position
    toldAt = -1
    build = 'again'
  }

  /** Whether there is more. */
  async function step(): Promise<boolean> {
    if (lease.body.epoch !== epoch) startOver()
    if (lease.body.erasing) return eraseFirst()
    const batch = await readBatch(reading, shape, { logId: lease.body.logId, after: seen, most })
    try {
      if (batch.entities.size + batch.forgotten.length > 0) await folder.fold(batch, epoch)
      else if (batch.position > lease.body.position || lease.body.trouble) flushing ??= setTimeout(flush, flushMs())
    } catch (error) {
      if (!(error instanceof Overtaken)) throw error
      return doAgain(batch, error)
    }
    healthy()
    overtaken = 0
    most = Math.min(limits.catchUpEvents, most * 2)
    seen = batch.position
    if (batch.more) return true
    // Somebody may have asked for it once more when it had just become whole.
    if (build === 'again' || lease.body.building)
      build = await caughtUp(background, shape, { lease, since, signal: AbortSignal.any([signal, lease.lost]) })
    if (toldAt !== seen) options.onCaughtUp?.(seen)
    toldAt = seen
    return false
  }

  async function eraseFirst(): Promise<true> {
    await eraseViews(storage, shape, lease.lost)
    await storage.declare([...collectionsOf(shape), parkedViews(shape)])
    await lease.write({ body: erased(epoch) })
    return true
  }

  async function doAgain(batch: Batch, { why, cause }: Overtaken): Promise<true> {
    if (++overtaken > limits.foldTries) throw cause
    await lease.look()
    if (why === 'refused' && batch.events === 1) await folder.park(batch, epoch, cause)
    // Where two views want one value, one of them may give it back later in the batch.
    else if (why === 'refused') most = Math.max(1, batch.events >> 1)
    startOver()
    return true
  }

  function flushMs(): number {
    return build === 'again' ? 0 : limits.checkpointMs
  }

  /** What passed by without concerning the views is written down now and then only. */
  async function flush(): Promise<void> {
    flushing = undefined
    const [position, asOf] = [seen, epoch]
    const further = ({ trouble: _, ...body }: Checkpoint): Checkpoint => ({ ...body, position })
    await lease
      .write({ body: (body) => (body.epoch === asOf && body.position <= position ? further(body) : body) })
      .catch(() => false)
    if (build === 'again') bell.ring()
  }

  return {
    async look() {
      if (poked.now) await lease.look()
      poked.now = false
      while (!signal.aborted && !lease.lost.aborted && !lease.body.paused) {
        if (!(await step())) return build === 'ends' ? 'ended' : 'wait'
      }
      return 'left'
    },
    tick() {
      poked.now = true
      bell.ring()
    },
    async end() {
      if (flushing === undefined) return
      clearTimeout(flushing)
      await flush()
    },
  }
}

function erased(epoch: number): (body: Checkpoint) => Checkpoint {
  return (body) => {
    if (body.epoch !== epoch) return body
    const { erasing: _, ...rest } = body
    return { ...rest, position: 0, epoch: epoch + 1, erased: (rest.erased ?? 0) + 1 }
  }
}
