/** The peer: Emmett's SQLite event store, as its documentation opens it; WAL and SQLite's own synchronous FULL. */
import { getSQLiteEventStore } from '@event-driven-io/emmett-sqlite'
import { count, eventType, sampleData } from './sample.ts'

export interface Emmett {
  append(stream: number, count: number): Promise<void>
  load(stream: number): Promise<number>
}

export async function openEmmett(file: string): Promise<Emmett> {
  const store = getSQLiteEventStore({ fileName: file, schema: { autoMigration: 'CreateOrUpdate' } })
  await store.schema.migrate()
  return {
    async append(stream, count) {
      const events = Array.from({ length: count }, (_, index) => ({ type: eventType, data: sampleData(index) }))
      await store.appendToStream(`permit-${stream}`, events)
    },
    async load(stream) {
      const { state } = await store.aggregateStream(`permit-${stream}`, {
        initialState: () => ({ events: 0, last: '' }),
        evolve: count,
      })
      return state.events
    },
  }
}
