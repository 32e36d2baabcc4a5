/**
 * The figures of asynchronous projections: catching up, lag, idling, building everything again. One view for each entity.
 * EVENTS names a file of events, a line of JSON each (`stream`, `type`, `data`, `meta`), that are built again too.
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { setTimeout as wait } from 'node:timers/promises'
import { gunzipSync } from 'node:zlib'
import { openStore, projection, type Store } from 'daybook'
import { postgresStorage } from 'daybook/postgres'
import { sqliteStorage } from 'daybook/sqlite'
import { openEmmettPostgres } from './emmett-postgres.ts'
import { openEngine } from './engine.ts'
import { type Measured, median, ratio, sideBySide } from './measure.ts'
import { fill } from './memory.ts'
import { eventType, sampleData } from './sample.ts'

interface Permit {
  readonly events: number
  readonly last: string
  readonly resource: string
}
type Confirmed = { readonly type: typeof eventType; readonly data: ReturnType<typeof sampleData> }

/** Of a name of its own, so that it has nothing yet. */
const permits = (name: string, types: readonly string[] = [eventType]) =>
  projection<Confirmed, Permit>()({
    name,
    lifecycle: 'async',
    streamTypes: ['permit'],
    on: Object.fromEntries(types.map((type) => [type, count])),
  })

function count(view: Permit | undefined, { data }: Confirmed): Permit {
  return { events: (view?.events ?? 0) + 1, last: data.task, resource: data.resource }
}

export async function catchUp(folder: string, rounds: number): Promise<void> {
  console.log('\n| projection figure | daybook | against | ratio | to reach |\n|---|---|---|---|---|')
  // Before all others, whose garbage would be collected meanwhile.
  await idle(`${folder}/idle.db`)
  await againstScan('projections: catch-up', await fill(`${folder}/catch-up.db`, 100_000), rounds)
  await againstScan('projections: catch-up, events of all streams mixed', await mixed(`${folder}/mixed.db`), rounds)
  await againstEmmett(`${folder}/catch-up.db`, rounds)
  await rebuild('a made log', await open(await fill(`${folder}/million.db`, 1_000_000), 'permits'))
  const events = process.env['EVENTS']
  if (events) await rebuild('the given events', await given(`${folder}/given.db`, events))
}

async function open(file: string, name: string, types?: readonly string[]): Promise<Store> {
  return openStore(await sqliteStorage({ file }), { projections: [permits(name, types)] })
}

/** A store with the events of a file. */
async function given(file: string, path: string): Promise<Store> {
  const text = path.endsWith('.gz') ? gunzipSync(readFileSync(path)) : readFileSync(path)
  const lines = text.toString('utf8').trim().split('\n')
  const events = lines.map((line) => JSON.parse(line) as { stream: string; type: string; data: unknown; meta?: object })
  const store = await open(file, 'permits', [...new Set(events.map(({ type }) => type))])
  for (const { stream, ...event } of events) await store.append(stream, [event])
  return store
}

/** Reading the log and parsing its events is what no projection can do without. */
async function againstScan(name: string, file: string, rounds: number): Promise<void> {
  await using reading = await openStore(await sqliteStorage({ file }))
  let turn = 0
  const [mine, scan] = await sideBySide(
    {
      async daybook() {
        await using store = await open(file, `permits-${++turn}`)
        return await folded(store, `permits-${turn}`)
      },
      async 'log scan'() {
        let events = 0
        for await (const entry of reading.readLog()) if (!entry.forgotten) events++
        return events
      },
    },
    rounds,
  )
  print(name, mine, scan, '≥ 0.4')
}

/** The peer's consumer, which hands over one event after the other and keeps no view; against all there is to do here. */
async function againstEmmett(file: string, rounds: number): Promise<void> {
  const engine = await openEngine()
  if (engine === undefined) return console.log('(emmett: left out, there is no DATABASE_URL and no server here)')
  const [few, each] = [3_000, 100]
  const emmett = await openEmmettPostgres(await engine.newDatabase())
  const url = await engine.newDatabase()
  const writing = await openStore(await postgresStorage({ url }))
  for (let written = 0; written < few; written += each) await emmett.append(written / each, each)
  for (let written = 0; written < 30_000; written += each) {
    const batch = Array.from({ length: each }, (_, index) => ({ type: eventType, data: sampleData(index) }))
    await writing.append(`permit/case-${(written / each) % 1_000}`, batch)
  }
  let turn = 0
  const [sqlite, postgres, peer] = await sideBySide(
    {
      async daybook() {
        await using store = await open(file, `beside-${++turn}`)
        return await folded(store, `beside-${turn}`)
      },
      async 'daybook on PostgreSQL'() {
        const name = `beside-${++turn}`
        await using store = await openStore(await postgresStorage({ url }), { projections: [permits(name)] })
        return await folded(store, name)
      },
      async 'emmett on PostgreSQL'() {
        return await emmett.catchUp()
      },
    },
    rounds,
  )
  print('projections: catch-up, SQLite', sqlite, peer, '≥ 10')
  print('projections: catch-up, PostgreSQL', postgres, peer, '')
  await writing.close()
  await emmett.close()
  await engine.close()
}

/** Until all there is was folded; how many events it was. */
async function folded(store: Store, name: string): Promise<number> {
  const { head } = await store.info()
  await new Promise<void>((resolve, reject) => {
    const runner = store.projections.run(name, { onCaughtUp: (position) => position === head && resolve() })
    runner.ended.then(resolve, reject)
  })
  return head
}

/** One event at a time, 10,000 entities in turn: hardly two events of a batch belong to one view. */
async function mixed(file: string): Promise<string> {
  await using store = await openStore(await sqliteStorage({ file }))
  const [events, streams] = [100_000, 10_000]
  for (let written = 0; written < events; written += 250) {
    await Promise.all(
      Array.from({ length: 250 }, (_, index) => {
        const stream = ((written + index) * 7_919) % streams
        return store.append(`permit/case-${stream}`, [{ type: eventType, data: sampleData(index) }])
      }),
    )
  }
  return file
}

/** From the answer of an append to the moment at which its view is written, in an idle process; and what waiting costs it. */
async function idle(file: string): Promise<void> {
  await using store = await open(file, 'permits')
  let told = (_: number) => {}
  store.projections.start({ onCaughtUp: (position) => told(position) })
  const lags: number[] = []
  for (let index = 0; index < 500; index++) {
    const seen = new Promise<number>((resolve) => {
      told = (position) => position === index + 1 && resolve(performance.now())
    })
    await store.append(`permit/case-${index % 100}`, [{ type: eventType, data: sampleData(index) }])
    const appended = performance.now()
    lags.push(Math.max(0, (await seen) - appended))
    await wait(10)
  }
  lags.sort((a, b) => a - b)
  console.log(
    `| projections: lag of a view behind its append | p50 ${lags[250]?.toFixed(1)} ms, p99 ${lags[495]?.toFixed(1)} ms | | | p99 ≤ 50 ms |`,
  )
  await wait(6_000)
  const before = process.cpuUsage()
  const started = performance.now()
  await wait(20_000)
  const { user, system } = process.cpuUsage(before)
  const share = (user + system) / 10 / (performance.now() - started)
  console.log(`| projections: processor of an idle runner | ${share.toFixed(2)} % | | | ≤ 1 % |`)
}

async function rebuild(name: string, opened: Store): Promise<void> {
  await using store = opened
  await store.projections.rebuild('permits')
  const before = await digest(store)
  const { head } = await store.info()
  const started = performance.now()
  await store.projections.drop('permits')
  await store.projections.rebuild('permits')
  const rate = Math.round((head / (performance.now() - started)) * 1_000)
  const same = (await digest(store)) === before ? 'identical' : 'NOT identical'
  console.log(
    `| projections: all views dropped and built again, ${name}, ${head.toLocaleString('en')} events | ${rate.toLocaleString('en')}/s, ${same} | | | |`,
  )
}

/** Of all views, by their ids. */
async function digest(store: Store): Promise<string> {
  const hash = createHash('sha256')
  for await (const { stream } of store.streams('permit')) {
    const view = await store.views.get<Permit>('permits', stream.slice('permit/'.length))
    hash.update(`${stream} ${JSON.stringify(view ?? null)}\n`)
  }
  return hash.digest('hex')
}

function print(name: string, mine: Measured | undefined, other: Measured | undefined, reach: string): void {
  if (mine === undefined || other === undefined) return
  const rate = (measured: Measured) => `${Math.round(median(measured.rates)).toLocaleString('en')}/s`
  console.log(
    `| ${name} | ${rate(mine)} | ${other.name} ${rate(other)} | ${ratio(mine, other).toFixed(2)} | ${reach} |`,
  )
}
