/**
 * An application's definitions in one place, for whatever opens its store: the command line, the server, workers. A module
 * exports them as its default: `export default defineApp({ projections: [customers] })`.
 */
import { checkFunctions, checkList, checkObject } from './argument.ts'
import type { RunnerOptions } from './catch-up.ts'
import type { ConsumerOptions, EventContext, Handled } from './consumer.ts'
import { InvalidArgument } from './errors.ts'
import type { LogEntry } from './event.ts'
import { checkRetention, type Retention } from './retention.ts'
import type { ScheduleOptions } from './schedule.ts'
import type { Store } from './store.ts'
import type { StoreOptions } from './store-options.ts'
import { checkHandlers, type JobHandlers } from './worker.ts'

export interface AppDefinition
  extends Pick<StoreOptions, 'projections' | 'deciders' | 'tables' | 'upcasters' | 'schemas' | 'subjects'> {
  /** What is done for each kind of job; called once, with the store that is worked for. */
  readonly jobs?: (store: Store) => JobHandlers
  /** Called once, likewise. */
  readonly consumers?: (store: Store) => readonly AppConsumer[]
  /** Called once, likewise; what it gives is told of each view that is folded. */
  readonly onFolded?: (store: Store) => OnFolded
  /** By name. Workers set them when they start; one that is not here any more stays until it is removed from the store. */
  readonly schedules?: Readonly<Record<string, ScheduleOptions>>
  /** What of each stream type stays in the storage; the rest goes to the archive, if a place is given for it. */
  readonly retention?: Retention
  /** Where objects are kept, as a command's options of these names say too, which take their place. */
  readonly places?: AppPlaces
}

type OnFolded = NonNullable<RunnerOptions['onFolded']>

/** Folders and buckets: `file:./archive`, `s3://bucket/prefix?region=eu-central-1`. */
export interface AppPlaces {
  readonly archive?: string
  readonly backups?: string
  readonly states?: string
}

export interface AppConsumer extends Omit<ConsumerOptions, 'signal' | 'onTrouble'> {
  /** As an `EventHandler`; written as a method, so that one of some events only is taken too. */
  handler(event: LogEntry, context: EventContext): Promise<Handled | undefined> | Promise<void>
}

/** Throws `InvalidArgument` for what is no definition of an application, naming the part. */
export function defineApp(app: AppDefinition): AppDefinition {
  checkObject(app, 'app')
  const parts = Object.keys(checks)
  for (const [part, value] of Object.entries(app)) {
    const check = Object.hasOwn(checks, part) ? checks[part as keyof AppDefinition] : undefined
    if (check === undefined) {
      throw new InvalidArgument(`app.${part}`, `is no part of an application; these are: ${parts.join(', ')}`)
    }
    if (value !== undefined) check(value, `app.${part}`)
  }
  return app
}

type Check = (value: unknown, path: string) => void

const checks: Readonly<Record<keyof AppDefinition, Check>> = {
  projections: checkList,
  deciders: checkList,
  tables: checkList,
  upcasters: checkList,
  schemas: checkObject,
  subjects: checkObject,
  jobs: checkOfStore,
  consumers: checkOfStore,
  onFolded: checkOfStore,
  schedules: checkObject,
  retention: (value, path) => checkRetention(value as Retention, path),
  places: checkPlaces,
}

function checkPlaces(value: unknown, path: string): void {
  checkObject(value, path)
  const known = ['archive', 'backups', 'states']
  for (const [name, place] of Object.entries(value as object)) {
    if (!known.includes(name)) throw new InvalidArgument(`${path}.${name}`, `is none; there are ${known.join(', ')}`)
    if (typeof place !== 'string') throw new InvalidArgument(`${path}.${name}`, 'must be a text: file:./archive')
  }
}

function checkOfStore(value: unknown, path: string): void {
  if (typeof value !== 'function') throw new InvalidArgument(path, 'must be a function of the store')
}

/** An edge: what such a function returns. */
export function jobsOf({ jobs }: AppDefinition, store: Store): JobHandlers {
  const found = jobs?.(store) ?? {}
  checkHandlers(found, 'app.jobs(store)')
  return found
}

/** Likewise. */
export function consumersOf({ consumers }: AppDefinition, store: Store): readonly AppConsumer[] {
  const found = consumers?.(store) ?? []
  checkList(found, 'app.consumers(store)')
  for (const [index, consumer] of found.entries()) {
    checkFunctions(consumer, `app.consumers(store)[${index}]`, ['handler'])
  }
  return found
}

/** Likewise. */
export function onFoldedOf({ onFolded }: AppDefinition, store: Store): OnFolded | undefined {
  const told = onFolded?.(store)
  if (told === undefined || typeof told === 'function') return told
  throw new InvalidArgument('app.onFolded(store)', 'must be a function')
}
