/** Workers: they take jobs from a queue and run their handlers, some at a time, until they are stopped. */
import { checkFunctions, checkObject } from './argument.ts'
import {
  type Background,
  checkParallel,
  checkWritable,
  type Running,
  ringingBell,
  settle,
  type TroubleOptions,
} from './background.ts'
import { backOff } from './feed.ts'
import type { Job, JobEnd } from './job.ts'
import type { JobQueue, TakenJob } from './job-queue.ts'
import { limits } from './limits.ts'
import { checkStreamType } from './name.ts'
import type { Bell } from './wake.ts'

export interface JobTask {
  readonly job: Job
  /** Aborted when the job is lost, or when the worker is stopped and has waited long enough. */
  readonly signal: AbortSignal
  /** Saves how far the job is; the next try finds it in `job.progress`. The lease lives on without it. */
  heartbeat(progress: unknown): Promise<void>
}

/** What it throws is a try that failed. What it returns is committed together with the end of the job. */
export type JobHandler = (task: JobTask) => Promise<JobEnd | undefined> | Promise<void>
/** By kind. */
export type JobHandlers = Readonly<Record<string, JobHandler>>

export interface WorkOptions extends TroubleOptions {
  /** Stops the worker. */
  readonly signal?: AbortSignal
  /** Jobs at the same time, 1 to 1,000; default 10. */
  readonly parallel?: number
  /** A job whose worker has gone is taken over after this time; default 15,000. */
  readonly termMs?: number
}

export interface Worker extends Running {
  /** Resolves when it has stopped; rejects where it gave up. */
  readonly ended: Promise<void>
}

export interface Employment {
  readonly queue: JobQueue
  /** Rings where a job may be due. */
  readonly bell: Bell
  /** What is to be seen to now and then: schedules, and what is done for long. */
  readonly tidy: () => Promise<void>
}

export function checkHandlers(handlers: JobHandlers, path = 'handlers'): void {
  checkObject(handlers, path)
  for (const kind of Object.keys(handlers)) checkStreamType(kind, path)
  checkFunctions(handlers, path, Object.keys(handlers))
}

export function startWorker(
  background: Background,
  { queue, bell, tidy }: Employment,
  { handlers, options }: { readonly handlers: JobHandlers; readonly options: WorkOptions },
): Worker {
  checkWritable(background)
  const parallel = checkParallel(options.parallel)
  const kinds = Object.keys(handlers)
  const stopping = new AbortController()
  const hurrying = new AbortController()
  const tasks = new Set<Promise<void>>()
  const own = ringingBell({ other: bell, everyMs: limits.workPollMs, signal: stopping.signal })

  async function run(): Promise<void> {
    let failures = 0
    for await (const _ of own.listen(stopping.signal)) {
      try {
        await tidy()
        while (!stopping.signal.aborted && tasks.size < parallel) {
          const taken = await queue.take({ kinds, limit: parallel - tasks.size })
          failures = 0
          if (taken.length === 0) break
          for (const job of taken) begin(job)
        }
      } catch (error) {
        if (stopping.signal.aborted || background.closing.aborted) return
        await backOff(error, ++failures, options, stopping.signal)
        own.ring()
      }
    }
  }

  function begin(job: TakenJob): void {
    const task = runJob(job, handlers[job.job.kind], hurrying.signal).finally(() => {
      tasks.delete(task)
      own.ring()
    })
    tasks.add(task)
  }

  const ended = run().finally(finish)
  ended.catch(() => {})

  async function finish(): Promise<void> {
    stopping.abort()
    background.running.delete(worker)
    options.signal?.removeEventListener('abort', stop)
    await settle(tasks, () => hurrying.abort(new Error('The worker is stopping')))
  }

  function stop(): Promise<void> {
    stopping.abort()
    return ended.catch(() => {})
  }

  const worker: Worker = { stop, ended }
  background.running.add(worker)
  options.signal?.addEventListener('abort', stop)
  if (options.signal?.aborted) stopping.abort()
  return worker
}

/** Never rejects: what cannot be recorded of the end is found by whoever takes the job over. */
async function runJob(taken: TakenJob, handler: JobHandler | undefined, hurrying: AbortSignal): Promise<void> {
  const { job, lost, heartbeat } = taken
  try {
    try {
      const end = await handler?.({ job, signal: AbortSignal.any([lost, hurrying]), heartbeat })
      if (end !== undefined) checkObject(end, `what the handler of ${job.kind} returns`)
      await taken.complete(end ?? {})
    } catch (error) {
      if (hurrying.aborted) await taken.giveBack()
      else await taken.fail(error)
    }
  } catch {
    // The lease runs out.
  }
}
