/** The peer on PostgreSQL: Emmett's event store, as its documentation opens it. */
import { getPostgreSQLEventStore } from '@event-driven-io/emmett-postgresql'
import { eventType, sampleData } from './sample.ts'

export interface EmmettPostgres {
  append(stream: number, count: number): Promise<void>
  /** All events by its consumer, from the beginning; answers how many. */
  catchUp(): Promise<number>
  close(): Promise<void>
}

export async function openEmmettPostgres(url: string): Promise<EmmettPostgres> {
  const store = getPostgreSQLEventStore(url, { schema: { autoMigration: 'CreateOrUpdate' } })
  await store.schema.migrate()
  return {
    async append(stream, count) {
      const events = Array.from({ length: count }, (_, index) => ({ type: eventType, data: sampleData(index) }))
      await store.appendToStream(`permit-${stream}`, events)
    },
    async catchUp() {
      let events = 0
      const consumer = store.consumer({ stopWhen: { noMessagesLeft: true } })
      consumer.reactor({
        processorId: crypto.randomUUID(),
        startFrom: 'BEGINNING',
        eachMessage: () => {
          events++
        },
      })
      await consumer.start()
      await consumer.stop()
      return events
    },
    close: () => store.close(),
  }
}
