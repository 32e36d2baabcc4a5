/** The peer on PostgreSQL: the event store of Act. */
import { eventType, sampleData } from './sample.ts'

export interface ActPostgres {
  append(stream: number, count: number): Promise<void>
  /** All events in order, page by page; answers how many. */
  scan(): Promise<number>
  close(): Promise<void>
}

export async function openActPostgres(url: string): Promise<ActPostgres> {
  // Else it prints each of its steps.
  process.env['LOG_LEVEL'] ??= 'error'
  const { PostgresStore } = await import('@rotorsoft/act-pg')
  const { hostname: host, port, username: user, password, pathname } = new URL(url)
  const store = new PostgresStore({ host, port: Number(port), user, password, database: pathname.slice(1) })
  await store.seed()
  return {
    async append(stream, count) {
      const events = Array.from({ length: count }, (_, index) => ({ name: eventType, data: sampleData(index) }))
      await store.commit(`permit-${stream}`, events, { correlation: 'bench', causation: {} })
    },
    async scan() {
      let events = 0
      for (let after = 0; ; ) {
        const count = await store.query(
          (event) => {
            events++
            after = event.id
          },
          { after, limit: 1_000 },
        )
        if (count < 1_000) return events
      }
    },
    close: () => store.dispose(),
  }
}
