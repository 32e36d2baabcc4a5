/** What an inline view costs an append: the same append with it and without, on stores of their own. */
import { openStore, projection, type Storage, type Store } from 'daybook'
import { postgresStorage } from 'daybook/postgres'
import { sqliteStorage } from 'daybook/sqlite'
import type { Engine } from './engine.ts'
import type { Figure } from './figures.ts'
import type { Contender } from './measure.ts'
import { eventType, sampleData } from './sample.ts'

type Confirmed = { readonly type: typeof eventType; readonly data: ReturnType<typeof sampleData> }

/** One view for each stream. */
const permits = projection<Confirmed, { readonly events: number; readonly last: string; readonly resource: string }>()({
  name: 'permits',
  lifecycle: 'inline',
  streamTypes: ['permit'],
  on: {
    [eventType]: (view, { data }) => ({ events: (view?.events ?? 0) + 1, last: data.task, resource: data.resource }),
  },
})

export const inlineOnSqlite: readonly Figure[] = [1, 32].map((callers) =>
  figure('SQLite', callers, async (place) => sqliteStorage({ file: `${place}.db` })),
)

export function inlineOnPostgres(engine: Engine): readonly Figure[] {
  return [1, 32].map((callers) =>
    figure('PostgreSQL', callers, async () => postgresStorage({ url: await engine.newDatabase() })),
  )
}

function figure(engine: string, callers: number, newStorage: (place: string) => Promise<Storage>): Figure {
  return {
    name: `inline projections: append of one event, ${callers} ${callers === 1 ? 'caller' : 'callers'}, ${engine}`,
    // It may take 1.6 times as long.
    reach: callers === 32 ? { without: '≥ 0.625' } : {},
    async open(place) {
      const store = await openStore(await newStorage(`${place}-with`), { projections: [permits] })
      const bare = await openStore(await newStorage(`${place}-without`))
      return {
        contenders: { daybook: appends(store, callers), without: appends(bare, callers) },
        async close() {
          const { events } = await store.views.get(permits, 'case-1').then((view) => view ?? { events: 0 })
          if (events !== (await store.details('permit/case-1'))?.revision) throw new Error(`The view holds ${events}`)
          await store.close()
          await bare.close()
        },
      }
    },
  }
}

/** Each caller has streams of its own, and appends one event after the other. */
function appends(store: Store, callers: number): Contender {
  const each = callers === 1 ? 1_000 : 200
  return async () => {
    await Promise.all(
      Array.from({ length: callers }, async (_, caller) => {
        for (let turn = 0; turn < each; turn++) {
          const stream = `permit/case-${caller + 1 + (turn % 10) * callers}`
          await store.append(stream, [{ type: eventType, data: sampleData(turn) }])
        }
      }),
    )
    return each * callers
  }
}
