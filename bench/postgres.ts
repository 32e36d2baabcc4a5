/** The figures of PostgreSQL, all on one server: hand-written statements and peers have databases of their own there. */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { openStore, type Store } from 'daybook'
import { postgresStorage } from 'daybook/postgres'
import { openActPostgres } from './act-postgres.ts'
import { openEmmettPostgres } from './emmett-postgres.ts'
import type { Engine } from './engine.ts'
import { type Figure, times } from './figures.ts'
import { median } from './measure.ts'
import { openRawPostgres } from './raw-postgres.ts'
import { eventType, sampleData } from './sample.ts'

const callers = Array.from({ length: 32 }, (_, index) => index + 1)

export function postgresFigures(engine: Engine): readonly Figure[] {
  return [
    {
      name: 'postgres: durable append, 1 caller',
      reach: { raw: '≥ 0.8', emmett: '≥ 1.8' },
      async open() {
        const { store, raw, emmett, close } = await sideBySide(engine)
        let stream = 0
        return {
          contenders: {
            daybook: times(1_000, () => append(store, ++stream % 500, 1)),
            raw: times(1_000, () => raw.append([(++stream % 500) + 1])),
            emmett: times(300, () => emmett.append(++stream % 500, 1)),
          },
          close,
        }
      },
    },
    {
      name: 'postgres: durable append, 32 callers',
      reach: { 'raw, grouped': '≥ 0.7', emmett: '≥ 7' },
      async open() {
        const { store, raw, emmett, close } = await sideBySide(engine)
        return {
          contenders: {
            daybook: together(200, (stream) => append(store, stream, 1)),
            'raw, grouped': times(200, () => raw.append(callers), callers.length),
            emmett: together(25, (stream) => emmett.append(stream, 1)),
          },
          close,
        }
      },
    },
    {
      name: 'postgres: catch-up of all events',
      reach: { raw: '≥ 0.7', emmett: '≥ 15', 'act-pg': '≥ 1.1' },
      async open() {
        const { store, raw, emmett, close } = await sideBySide(engine)
        const act = await openActPostgres(await engine.newDatabase())
        const total = 50_000
        const few = 2_000
        for (let stream = 1; stream <= total / 100; stream += 10) {
          const streams = Array.from({ length: 10 }, (_, index) => stream + index)
          await Promise.all(streams.map((stream) => append(store, stream, 100)))
          await raw.append(streams, 100)
          for (const stream of streams) await act.append(stream, 100)
        }
        for (let stream = 1; stream <= few / 100; stream++) await emmett.append(stream, 100)
        const all = (read: () => Promise<number>, expected: number) => async () => {
          const events = await read()
          if (events !== expected) throw new Error(`read ${events} of ${expected}`)
          return events
        }
        const scan = async () => {
          let events = 0
          for await (const entry of store.readLog()) if (!entry.forgotten) events++
          return events
        }
        return {
          contenders: {
            daybook: all(scan, total),
            raw: all(raw.scan, total),
            emmett: all(emmett.catchUp, few),
            'act-pg': all(act.scan, total),
          },
          async close() {
            await act.close()
            await close()
          },
        }
      },
    },
    {
      name: 'postgres: 2 processes, 32 callers each',
      reach: { 'one process': '≥ 0.9' },
      async open() {
        const url = await engine.newDatabase()
        await (await postgresStorage({ url })).close()
        const [first, second] = [await startWriter(url, 1), await startWriter(url, 2)]
        const each = 200
        return {
          contenders: {
            async daybook() {
              await Promise.all([first.write(each), second.write(each)])
              return 2 * each * callers.length
            },
            async 'one process'() {
              await first.write(each)
              return each * callers.length
            },
          },
          async close() {
            await Promise.all([first.close(), second.close()])
            await checkOrder(url)
          },
        }
      },
    },
  ]
}

/** How much longer an append takes where it has a condition on tags, in a log of each size. */
export async function postgresConditions(engine: Engine, sizes: readonly number[], rounds: number): Promise<void> {
  console.log('\n| postgres: condition check on tags, p50 added | at | to reach |\n|---|---|---|')
  const url = await engine.newDatabase()
  await using store = await openStore(await postgresStorage({ url }))
  let written = 0
  for (const size of sizes) {
    while (written < size) {
      const streams = Array.from({ length: 10 }, (_, index) => written / 100 + index)
      await Promise.all(
        streams.map((stream) => append(store, stream, 100, [`group:${stream % 2}`, `permit:${stream}`])),
      )
      written += 1_000
    }
    const { head } = await store.readLogPage({ direction: 'backwards', limit: 1 })
    const conditions = {
      'a tag that nothing has, from the beginning': { query: [{ tags: ['permit:none'] }] },
      'two tags and a type, since the decision read': {
        query: [{ types: [eventType], tags: ['group:1', 'permit:none'] }],
        after: head,
      },
      'two common tags that never meet, since 1,000 events': {
        query: [{ tags: ['group:0', 'group:1'] }],
        after: head - 1_000,
      },
    }
    for (const [name, condition] of Object.entries(conditions)) {
      const plain: number[] = []
      const checked: number[] = []
      for (let call = 0; call < rounds * 100; call++) {
        const events = [{ type: eventType, data: sampleData(call), tags: ['permit:new'] }]
        const started = performance.now()
        await store.append(`permit/plain-${call % 100}`, events)
        const between = performance.now()
        await store.append(`permit/plain-${call % 100}`, events, { condition })
        plain.push(between - started)
        checked.push(performance.now() - between)
      }
      const added = median(checked) - median(plain)
      console.log(`| ${name} | ${added.toFixed(2)} ms | ${size.toLocaleString('en')} events | ≤ 2 ms, flat |`)
    }
  }
}

/** A store, hand-written statements and a peer, each in a database of its own on one server. */
async function sideBySide(engine: Engine) {
  const store = await openStore(await postgresStorage({ url: await engine.newDatabase() }))
  const raw = await openRawPostgres(await engine.newDatabase())
  const emmett = await openEmmettPostgres(await engine.newDatabase())
  const close = async () => {
    await store.close()
    await raw.close()
    await emmett.close()
  }
  return { store, raw, emmett, close }
}

/** All callers at once, each one append after the other on a stream of its own. */
function together(each: number, call: (stream: number) => Promise<void>) {
  return async () => {
    await Promise.all(callers.map((stream) => times(each, () => call(stream))()))
    return each * callers.length
  }
}

async function append(store: Store, stream: number, count: number, tags: readonly string[] = []): Promise<void> {
  const events = Array.from({ length: count }, (_, index) => ({ type: eventType, data: sampleData(index), tags }))
  await store.append(`permit/case-${stream}`, events)
}

interface Writer {
  write(each: number): Promise<void>
  close(): Promise<void>
}

async function startWriter(url: string, number: number): Promise<Writer> {
  const script = fileURLToPath(new URL('postgres-writer.ts', import.meta.url))
  const child = spawn(process.execPath, [script, url, String(number)], { stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  await lines.next()
  return {
    async write(each) {
      child.stdin.write(`${each}\n`)
      if ((await lines.next()).done) throw new Error('A writer has ended')
    },
    async close() {
      child.stdin.end()
      await lines.next()
    },
  }
}

/** Positions of the log, and revisions of each stream, are 1, 2, 3 … */
async function checkOrder(url: string): Promise<void> {
  await using store = await openStore(await postgresStorage({ url }))
  const revisions = new Map<string, number>()
  let position = 0
  for await (const entry of store.readLog()) {
    const revision = (revisions.get(entry.stream) ?? 0) + 1
    if (entry.position !== ++position || entry.revision !== revision) throw new Error(`Out of order at ${position}`)
    revisions.set(entry.stream, revision)
  }
}
