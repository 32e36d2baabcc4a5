/**
 * Tables of the application's own, in the database that the store is in: written in the very transaction that records the
 * events, so that rows and events are there together or not at all.
 */
import { checkFunctions, checkList, checkObject } from './argument.ts'
import { InvalidArgument, Unsupported } from './errors.ts'
import type { AnyEvent, Recorded } from './event.ts'
import { limits } from './limits.ts'
import { checkName } from './name.ts'
import type { Seen } from './projection.ts'
import { ProjectionFailed } from './projection-errors.ts'
import { checkFilter } from './query.ts'
import type { Commit, Storage, Transaction } from './storage.ts'
import { type Upcaster, withOldTypesOf } from './upcaster.ts'

/** `Sql` is what the engine's driver has: of SQLite the database of the storage, of PostgreSQL a client of `pg`. */
export interface Tables<Event extends AnyEvent = AnyEvent, Sql = never> {
  /** 1 to 40 characters, for messages. */
  readonly name: string
  /** Streams of these types only. */
  readonly streamTypes?: readonly string[]
  /**
   * By event type, the statements that follow from an event. They run once for each event that is recorded, in its
   * transaction; of one stream in order. What they throw refuses the append. On SQLite they are synchronous.
   */
  readonly into: {
    readonly [Type in Event['type']]?: (
      sql: Sql,
      event: Seen<Extract<Event, { readonly type: Type }>, 'inline'>,
    ) => void | Promise<void>
  }
  /**
   * Deletes what the tables hold of a stream that is forgotten, in the transaction that closes it. Whoever forgets must know
   * the tables. Left out, they hold nothing that would have to go.
   */
  readonly forget?: (sql: Sql, stream: string) => void | Promise<void>
}

/** Says the types once: `tables<OrderEvent, pg.ClientBase>()({ name: 'stock', into: { … } })`. */
export function tables<Event extends AnyEvent, Sql>() {
  return (definition: Tables<Event, Sql>): Tables<Event, Sql> => definition
}

/** Of any events and engine, as a list of them is typed. */
export interface AnyTables {
  readonly name: string
  readonly streamTypes?: readonly string[]
  readonly into: Readonly<Record<string, ((sql: never, event: never) => void | Promise<void>) | undefined>>
  readonly forget?: (sql: never, stream: string) => void | Promise<void>
}

/** As the store runs them. */
export interface TableShape {
  readonly name: string
  readonly streamTypes: readonly string[]
  /** As they are recorded: also those that an upcaster gives another name. */
  readonly types: ReadonlySet<string>
  into(sql: Transaction, event: Recorded): void | Promise<void>
  readonly forget?: (sql: Transaction, stream: string) => void | Promise<void>
}

/** Throws `InvalidArgument`, or `Unsupported` where the storage has no such transactions. */
export function tableShapesOf(
  definitions: readonly AnyTables[],
  storage: Pick<Storage, 'abilities' | 'name'>,
  upcasters: readonly Upcaster[],
): readonly TableShape[] {
  checkList(definitions, 'tables')
  if (definitions.length > 0 && !storage.abilities.statements) {
    throw new Unsupported('statements', `${storage.name} takes no statements of others into its transactions`)
  }
  return definitions.map((definition, index): TableShape => {
    const path = `tables[${index}]`
    checkObject(definition, path)
    const { name, streamTypes = [], into, forget } = definition as unknown as Known
    checkName(name, `${path}.name`, 'name of tables', limits.projectionNameCharacters)
    checkObject(into, `${path}.into`)
    const own = Object.keys(into).filter((type) => into[type] !== undefined)
    if (own.length === 0) throw new InvalidArgument(`${path}.into`, 'must handle at least one event type')
    checkFunctions(into, `${path}.into`, own)
    if (forget !== undefined) checkFunctions(definition, path, ['forget'])
    checkFilter({ streamTypes, types: own }, path)
    const { types = [] } = withOldTypesOf(upcasters, { types: own })
    return {
      ...{ name, streamTypes, types: new Set(types) },
      into: (sql, event) => into[event.type]?.(sql, event),
      ...(forget && { forget }),
    }
  })
}

interface Known {
  readonly name: string
  readonly streamTypes?: readonly string[]
  readonly into: Readonly<Record<string, ((sql: Transaction, event: Recorded) => void | Promise<void>) | undefined>>
  readonly forget?: TableShape['forget']
}

/** What a commit does in its transaction for these events, or for a tombstone; synchronous as long as they are. */
export function insideOf(
  entries: readonly { readonly tables: TableShape; readonly event: Recorded }[],
): NonNullable<Commit['inside']> {
  return (sql) => {
    let running: Promise<void> | undefined
    for (const { tables, event } of entries) {
      const run = () => {
        try {
          const result = event.tombstone ? tables.forget?.(sql, event.stream) : tables.into(sql, event)
          return result instanceof Promise ? result.catch((cause) => fail(tables, event, cause)) : undefined
        } catch (cause) {
          return fail(tables, event, cause)
        }
      }
      running = running ? running.then(run) : run()
    }
    return running
  }
}

function fail({ name }: TableShape, { stream, revision, type }: Recorded, cause: unknown): never {
  throw new ProjectionFailed({ projection: name, stream, revision, eventType: type }, cause)
}
