/** Each figure: what is done, by whom, and what the ratio should reach. */
import Database from 'better-sqlite3'
import { openStore, type Store } from 'daybook'
import { sqliteStorage } from 'daybook/sqlite'
import { openEmmett } from './emmett.ts'
import type { Contender } from './measure.ts'
import { openRaw } from './raw.ts'
import { count, eventType, sampleData } from './sample.ts'

export interface Figure {
  readonly name: string
  readonly reach: Readonly<Record<string, string>>
  open(place: string): Promise<{ contenders: Record<string, Contender>; close(): Promise<void> }>
}

const callers = 32
const fold = { initialState: () => ({ events: 0, last: '' }), evolve: count }

export const figures: readonly Figure[] = [
  {
    name: 'durable append, 1 caller',
    reach: { raw: '≥ 0.7', emmett: '≥ 25' },
    async open(place) {
      const { store, raw, emmett, close } = await sideBySide(place)
      let stream = 0
      return {
        contenders: {
          daybook: times(2_000, () => append(store, ++stream % 500, 1)),
          raw: times(2_000, async () => raw.append([(++stream % 500) + 1])),
          emmett: times(100, () => emmett.append(++stream % 500, 1)),
        },
        close,
      }
    },
  },
  {
    name: `durable append, ${callers} callers`,
    reach: { 'raw, grouped': '≥ 0.6' },
    async open(place) {
      const { store, raw, close } = await sideBySide(place)
      const streams = Array.from({ length: callers }, (_, index) => index + 1)
      return {
        contenders: {
          async daybook() {
            const each = 400
            await Promise.all(
              streams.map(async (stream) => {
                for (let turn = 0; turn < each; turn++) await append(store, stream, 1)
              }),
            )
            return each * callers
          },
          'raw, grouped': times(400, async () => raw.append(streams), callers),
          'raw, one by one': times(2_000, async () => raw.append([1])),
        },
        close,
      }
    },
  },
  {
    name: 'append of 100-event batches',
    reach: { raw: '≥ 0.6', emmett: '≥ 8' },
    async open(place) {
      const { store, raw, emmett, close } = await sideBySide(place)
      let stream = 0
      return {
        contenders: {
          daybook: times(150, () => append(store, ++stream, 100), 100),
          raw: times(150, async () => raw.appendBatch(++stream, 100), 100),
          emmett: times(20, () => emmett.append(++stream, 100), 100),
        },
        close,
      }
    },
  },
  ...[10, 100, 1_000].map(
    (events): Figure => ({
      name: `load of a ${events}-event entity`,
      reach: { raw: '≥ 0.75', emmett: '' },
      async open(place) {
        const { store, raw, emmett, close } = await sideBySide(place)
        const streams = 100
        // Events of an entity come one after the other among those of the others.
        for (let turn = 0; turn < events; turn += 10) {
          for (let stream = 1; stream <= streams; stream++) {
            await append(store, stream, 10)
            raw.appendBatch(stream, 10)
          }
        }
        for (let stream = 1; stream <= 5; stream++) await emmett.append(stream, events)
        const loads = Math.max(20, 20_000 / events)
        let stream = 0
        return {
          contenders: {
            daybook: times(loads, async () => {
              const { state } = await store.load(`permit/case-${(++stream % streams) + 1}`, fold)
              if (state.events !== events) throw new Error(`loaded ${state.events}`)
            }),
            raw: times(loads, async () => {
              const state = raw.load((++stream % streams) + 1).reduce(count, fold.initialState())
              if (state.events !== events) throw new Error(`loaded ${state.events}`)
            }),
            emmett: times(Math.min(50, loads), async () => {
              await emmett.load((++stream % 5) + 1)
            }),
          },
          close,
        }
      },
    }),
  ),
  {
    name: 'append at 1,000,000 events',
    // The cost may be 1.3 times that of a small store.
    reach: { 'at 1,000': '≥ 0.77' },
    async open(place) {
      const large = await filled(`${place}-large`, 1_000_000)
      const small = await filled(`${place}-small`, 1_000)
      let turn = 0
      const next = () => ++turn * 7_919
      return {
        contenders: {
          daybook: times(1_000, () => append(large, next() % 10_000, 1)),
          'at 1,000': times(1_000, () => append(small, next() % 10, 1)),
        },
        async close() {
          await large.close()
          await small.close()
        },
      }
    },
  },
  ...(['node:sqlite', 'better-sqlite3'] as const).map(
    (driver): Figure => ({
      name: `log scan with parsed events, ${driver}`,
      reach: { raw: '≥ 0.8' },
      async open(place) {
        const { store, raw, close } = await sideBySide(place, driver)
        const total = 100_000
        for (let written = 0; written < total; written += 1_000) {
          await Promise.all(
            Array.from({ length: 10 }, (_, index) => append(store, (written / 100 + index) % 2_000, 100)),
          )
          for (let index = 0; index < 10; index++) raw.appendBatch(((written / 100 + index) % 2_000) + 1, 100)
        }
        return {
          contenders: {
            async daybook() {
              let events = 0
              for await (const entry of store.readLog()) if (!entry.forgotten) events++
              if (events !== total) throw new Error(`scanned ${events}`)
              return events
            },
            raw: async () => raw.scan(),
          },
          close,
        }
      },
    }),
  ),
]

/** A store, hand-written statements and a peer, each on a file of its own with the same durability. */
async function sideBySide(place: string, driver: 'node:sqlite' | 'better-sqlite3' = 'node:sqlite') {
  const store = await daybook(place, driver)
  const raw = await openRaw(`${place}-raw.db`, driver)
  const emmett = await openEmmett(`${place}-emmett.db`)
  const close = async () => {
    await store.close()
    raw.close()
  }
  return { store, raw, emmett, close }
}

/** Events of 10,000 streams in a store of its own, appended in batches. */
async function filled(place: string, events: number): Promise<Store> {
  const store = await daybook(place)
  for (let written = 0; written < events; written += 10_000) {
    const streams = Array.from(
      { length: Math.min(100, (events - written) / 100) },
      (_, index) => (written / 100 + index) % 10_000,
    )
    await Promise.all(streams.map((stream) => append(store, stream, 100)))
  }
  return store
}

async function daybook(place: string, driver = 'node:sqlite'): Promise<Store> {
  const file = `${place}-daybook.db`
  if (driver === 'node:sqlite') return openStore(await sqliteStorage({ file }))
  return openStore(
    await sqliteStorage({ file, driver: (file, { readOnly }) => new Database(file, { readonly: readOnly }) }),
  )
}

async function append(store: Store, stream: number, count: number): Promise<void> {
  const events = Array.from({ length: count }, (_, index) => ({ type: eventType, data: sampleData(index) }))
  await store.append(`permit/case-${stream}`, events)
}

/** `each`: units that one call does. */
export function times(calls: number, call: () => Promise<void>, each = 1): Contender {
  return async () => {
    for (let index = 0; index < calls; index++) await call()
    return calls * each
  }
}
