/**
 * Workers: all that an application does in the background of a store, in this process: projections that follow the log and
 * builds that are unfinished, consumers, jobs with those of the store's own, schedules. What goes wrong is logged, with
 * what it was and where.
 */
import pino, { type Logger } from 'pino'
import { type AppConsumer, type AppDefinition, consumersOf, jobsOf, onFoldedOf } from '../core/app.ts'
import type { RunnerOptions } from '../core/catch-up.ts'
import type { Store } from '../core/store.ts'
import type { JobHandler, JobHandlers } from '../core/worker.ts'

export interface WorkersOptions {
  /** Opened with the application's definitions, and for writing. */
  readonly store: Store
  /** Without one only the store's own work is done. */
  readonly app?: AppDefinition
  /** Default: one that writes JSON lines to the standard output. */
  readonly logger?: Logger
}

export interface Workers {
  /** What works here, by name. */
  readonly projections: readonly string[]
  readonly consumers: readonly string[]
  readonly jobs: readonly string[]
  /** Begins nothing more; resolves when what was begun has ended, or has been told to and has had its time. */
  stop(): Promise<void>
}

interface Running {
  readonly ended: Promise<void>
  stop(): Promise<void>
}

/**
 * Throws for definitions that the store does not take, and then nothing of them runs. Afterwards trouble is logged and the
 * work tried again; what does not heal is logged as an error, and the rest goes on.
 */
export async function startWorkers({ store, app = {}, logger = pino() }: WorkersOptions): Promise<Workers> {
  const jobs = jobsOf(app, store)
  const consumers = consumersOf(app, store)
  const onFolded = onFoldedOf(app, store)
  const running: Running[] = []
  const stop = async () => {
    await Promise.all(running.map((one) => one.stop()))
  }
  const begin = (what: object, one: Running) => {
    running.push(one)
    one.ended.catch((error) => logger.error({ ...what, err: error }, 'work has ended'))
  }
  const troubles = (what: object) => ({
    onTrouble(error: unknown, retryInMs: number) {
      logger.warn({ ...what, err: error, retryInMs: Math.round(retryInMs) }, 'trouble')
    },
  })
  const kept = (app.projections ?? []).filter(({ lifecycle }) => lifecycle !== 'live')
  const projections = [...new Set(kept.map(({ name }) => name))]
  try {
    for (const [name, schedule] of Object.entries(app.schedules ?? {})) await store.jobs.schedule(name, schedule)
    for (const consumer of consumers) {
      const what = { consumer: consumer.name }
      begin(what, await store.consumers.run({ ...toldOf(consumer, logger), ...troubles(what) }))
    }
    for (const projection of projections) {
      const onParked: RunnerOptions['onParked'] = (view, error) => {
        logger.warn({ projection, ...view, err: error }, 'view is parked')
      }
      const told = { ...troubles({ projection }), onParked, ...(onFolded && { onFolded }) }
      begin({ projection }, store.projections.run(projection, told))
    }
    begin({ jobs: Object.keys(jobs) }, store.jobs.work(toldOfAll(jobs, logger), troubles({ jobs: Object.keys(jobs) })))
  } catch (error) {
    await stop()
    throw error
  }
  return { projections, consumers: consumers.map(({ name }) => name), jobs: Object.keys(jobs), stop }
}

/** With a line for each try that failed. */
function toldOf(consumer: AppConsumer, logger: Logger): AppConsumer {
  return {
    ...consumer,
    async handler(event, context) {
      try {
        return (await consumer.handler(event, context)) ?? undefined
      } catch (error) {
        const { stream, revision } = event
        logger.warn({ consumer: consumer.name, stream, revision, tries: context.tries, err: error }, 'handler failed')
        throw error
      }
    },
  }
}

function toldOfAll(handlers: JobHandlers, logger: Logger): JobHandlers {
  const told = (handler: JobHandler): JobHandler => {
    return async (task) => {
      try {
        return (await handler(task)) ?? undefined
      } catch (error) {
        const { id, tries, mostTries } = task.job
        logger.warn({ job: id, tries, mostTries, err: error }, 'handler failed')
        throw error
      }
    }
  }
  return Object.fromEntries(Object.entries(handlers).map(([kind, handler]) => [kind, told(handler)]))
}
