/** The figures of asynchronous projections: catching up, lag, idling, building everything again. One view for each entity. */
import { createHash } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import { openStore, projection, type Store } from 'daybook'
import { sqliteStorage } from 'daybook/sqlite'
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
const permits = (name: string) =>
  projection<Confirmed, Permit>()({
    name,
    lifecycle: 'async',
    streamTypes: ['permit'],
    on: {
      [eventType]: (view, { data }) => ({ events: (view?.events ?? 0) + 1, last: data.task, resource: data.resource }),
    },
  })

export async function catchUp(folder: string, rounds: number): Promise<void> {
  console.log('\n| projection figure | daybook | against | ratio | to reach |\n|---|---|---|---|---|')
  await againstScan('projections: catch-up', await fill(`${folder}/catch-up.db`, 100_000), rounds)
  await againstScan('projections: catch-up, events of all streams mixed', await mixed(`${folder}/mixed.db`), rounds)
  await idle(`${folder}/idle.db`)
  await rebuild(await fill(`${folder}/million.db`, 1_000_000))
}

async function open(file: string, name: string): Promise<Store> {
  return openStore(await sqliteStorage({ file }), { projections: [permits(name)] })
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
  const before = process.cpuUsage()
  const started = performance.now()
  await wait(20_000)
  const { user, system } = process.cpuUsage(before)
  const share = (user + system) / 10 / (performance.now() - started)
  console.log(`| projections: processor of an idle runner | ${share.toFixed(2)} % | | | ≤ 1 % |`)
}

async function rebuild(file: string): Promise<void> {
  await using store = await open(file, 'permits')
  await store.projections.rebuild('permits')
  const before = await digest(store)
  const { head } = await store.info()
  const started = performance.now()
  await store.projections.drop('permits')
  await store.projections.rebuild('permits')
  const rate = Math.round((head / (performance.now() - started)) * 1_000)
  const same = (await digest(store)) === before ? 'identical' : 'NOT identical'
  console.log(
    `| projections: all views dropped and built again, ${head.toLocaleString('en')} events | ${rate.toLocaleString('en')}/s, ${same} | | | |`,
  )
}

/** Of all views, by their ids. */
async function digest(store: Store): Promise<string> {
  const hash = createHash('sha256')
  for (let index = 0; index < 10_000; index++) {
    hash.update(JSON.stringify((await store.views.get(permits('permits'), `case-${index}`)) ?? null))
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
