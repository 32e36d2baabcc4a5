/** Killing processes that fold, build, switch, take snapshots and do jobs; and comparing what is left with a fold of the log by hand. */
import { isDeepStrictEqual } from 'node:util'
import { expect } from 'vitest'
import { until } from '../../src/conformance/store/kit.ts'
import { indexQuery } from '../../src/core/document.ts'
import { shapeOf } from '../../src/core/projection.ts'
import { openStore, type Store } from '../../src/core/store.ts'
import { openStorage } from '../../src/open.ts'
import { type Kills, killsOfOneLog, pause } from './kills.ts'
import { decider, handlers, inlineNames, link, names, type Paid, people, projections } from './projected.ts'
import { deeds, type ProjectorOptions, type Told } from './projector.ts'
import { startTelling } from './telling.ts'

/** Of whoever finishes what was begun: nobody kills him, and a slow engine must not take from him what he has just taken. */
const termMs = 5_000

/** What was told over all kills: begun and not done is what was killed in the middle of it. */
export interface Tally {
  readonly done: Map<string, number>
  readonly begun: Map<string, number>
  snapshots: number
}

export async function killProjectors({
  kills,
  random,
  next,
  quiet,
  restMs,
}: Kills & Pick<ProjectorOptions, 'restMs'>): Promise<Tally> {
  const tally: Tally = { done: new Map(), begun: new Map(), snapshots: 0 }
  let told: Told[] = []
  let url = ''
  for (let round = 0; round < kills; round++) {
    if (round % killsOfOneLog === 0) {
      url = await next()
      told = []
    }
    const does = deeds[Math.floor(random() * deeds.length)] ?? 'rebuild'
    const workers = range(random() < 0.4 ? 2 : 1).map((worker) => {
      const options = { url, worker: `${round}-${worker}`, seed: Math.floor(random() * 1e9), does, restMs }
      return startTelling<Told>('./projector.ts', options satisfies ProjectorOptions)
    })
    // Sometimes while they open the store, mostly in the middle of everything.
    if (round === 0 || random() < 0.9) await Promise.all(workers.map(({ begun }) => begun))
    for (const { process } of workers) {
      await pause(random() * 500)
      process.kill('SIGKILL')
    }
    for (const { done } of workers) told.push(...(await done))
    await quiet(url)
    // Sometimes the next ones find it as it was left.
    const last = round % killsOfOneLog === killsOfOneLog - 1 || round === kills - 1
    await checkProjected(url, { told, tally, heals: last || random() < 0.5 })
    if (last) count(tally, told)
  }
  return tally
}

function count(tally: Tally, told: readonly Told[]): void {
  for (const one of told) {
    if (one.is === 'event' || one.is === 'job') continue
    tally[one.is].set(one.deed, (tally[one.is].get(one.deed) ?? 0) + 1)
  }
}

interface Check {
  readonly told: readonly Told[]
  readonly tally: Tally
  /** Everything that was begun is finished first. */
  readonly heals: boolean
}

async function checkProjected(url: string, { told, tally, heals }: Check): Promise<void> {
  const store = await openStore(await openStorage(url), { projections, deciders: [decider] })
  const payments = await paymentsOf(store)
  await checkEvents(payments, told)
  await checkLoads(store, payments, tally)
  // Nobody has to wait for these, whatever was broken off.
  for (const name of inlineNames) await checkRead(store, name, payments)
  if (heals) await heal(store, url, told)
  await store.close()
}

async function paymentsOf(store: Store): Promise<ReadonlyMap<string, readonly Paid[]>> {
  const payments = new Map<string, readonly Paid[]>()
  for (const person of people) {
    const events: Paid[] = []
    for await (const event of store.read<Paid>(`person/${person}`)) events.push(event)
    payments.set(person, events)
  }
  return payments
}

function checkEvents(payments: ReadonlyMap<string, readonly Paid[]>, told: readonly Told[]): void {
  const all = [...payments.values()].flat()
  const ids = new Set(all.map(({ id }) => id))
  expect(ids.size).toBe(all.length)
  expect(told.filter((one) => one.is === 'event' && !ids.has(one.id))).toEqual([])
}

async function checkLoads(store: Store, payments: ReadonlyMap<string, readonly Paid[]>, tally: Tally): Promise<void> {
  const { snapshot: _, ...bare } = decider
  for (const [person, events] of payments) {
    const stream = `person/${person}`
    const loaded = await store.load(stream, decider)
    expect(loaded.state.chain, stream).toBe(chainOf(events) ?? '')
    expect(loaded, stream).toEqual(await store.load(stream, bare))
    tally.snapshots += (await store.snapshots.list({ stream })).snapshots.length
  }
}

async function checkRead(store: Store, name: string, payments: ReadonlyMap<string, readonly Paid[]>): Promise<void> {
  const status = await store.projections.status(name)
  const { reads } = status
  if (reads === undefined) return
  const expected = expectedOf(name, reads, payments)
  const { views } = await store.views.query(name, { equals: { kind: name } })
  expect(
    Object.fromEntries(views.map(({ id, view }) => [id, view])),
    `${name}@${reads} ${JSON.stringify(status)}`,
  ).toEqual(expected)
  for (const [id, view] of Object.entries(expected)) {
    expect(await store.views.get(name, id), `${name}@${reads} ${id}`).toEqual(view)
  }
}

/** Whoever comes next goes on with what was begun, and then all of it is as if nothing had happened. */
async function heal(store: Store, url: string, told: readonly Told[]): Promise<void> {
  for (const name of names) await store.projections.resume(name)
  const runner = store.projections.start({ termMs })
  const worker = store.jobs.work(handlers, { termMs })
  for (const one of told) if (one.is === 'job') await finished(store, one.id)
  await worker.stop()
  for (const name of names) {
    const { reads, versions } = await store.projections.status(name)
    // The last version was being dropped: whoever wants it after all builds it anew.
    if (versions.every(({ state }) => state === 'retired')) await store.projections.rebuild(name, { termMs })
    for (const { version, whole, state } of versions) {
      const asked = version === reads || state === 'retired' || whole
      if (!asked) await store.projections.rebuild(name, { version, switch: 'by-hand', termMs })
    }
  }
  const payments = await paymentsOf(store)
  checkJobs(payments, told)
  const head = [...payments.values()].flat().length
  await until(async () => (await store.info()).head === head)
  const storage = await openStorage(url)
  for (const name of names) {
    await foldedAll(store, name)
    const { versions, parked } = await store.projections.status(name)
    expect(parked).toBe(0)
    for (const { version, state } of versions) {
      if (state === 'retired') continue
      const definition = projections.find((one) => one.name === name && one.version === version)
      if (definition === undefined) throw new Error(`${name}@${version} is unknown`)
      const { views } = shapeOf(definition)
      const expected = expectedOf(name, version, payments)
      const found = async () => {
        const { documents } = await storage.queryDocuments(
          indexQuery(views, { index: 'all', equals: [name], limit: 1_000 }),
        )
        return Object.fromEntries(
          documents.map(({ key, body }) => [key, (JSON.parse(body) as { readonly view?: unknown }).view]),
        )
      }
      // What is not read may be behind for a moment.
      await until(async () => isDeepStrictEqual(await found(), expected)).catch(() => {})
      expect(await found(), `${name}@${version} ${state}`).toEqual(expected)
    }
    await checkRead(store, name, payments)
  }
  await storage.close()
  await runner.stop()
}

/** Others that come before it may take their time. */
async function finished(store: Store, id: string): Promise<void> {
  await comesTo(
    () => store.jobs.get(id),
    (job) => job?.state === 'done',
  )
}

async function foldedAll(store: Store, name: string): Promise<void> {
  await comesTo(
    () => store.projections.status(name),
    ({ lag }) => lag === 0,
  )
}

async function comesTo<Seen>(look: () => Promise<Seen>, holds: (seen: Seen) => boolean): Promise<void> {
  for (let tries = 1; ; tries++) {
    const seen = await look()
    if (holds(seen)) return
    if (tries === 1_000) throw new Error(`After half a minute it is still ${JSON.stringify(seen)}`)
    await pause(30)
  }
}

function checkJobs(payments: ReadonlyMap<string, readonly Paid[]>, told: readonly Told[]): void {
  const times = new Map<string, number>()
  for (const { data } of [...payments.values()].flat()) {
    if (data.job !== undefined) times.set(data.job, (times.get(data.job) ?? 0) + 1)
  }
  expect([...times].filter(([, count]) => count !== 1)).toEqual([])
  expect(told.filter((one) => one.is === 'job' && !times.has(one.id))).toEqual([])
}

function expectedOf(
  name: string,
  version: number,
  payments: ReadonlyMap<string, readonly Paid[]>,
): Record<string, object> {
  const views: Record<string, object> = {}
  if (name === 'accounts' || name === 'followers') {
    for (const [person, events] of payments) {
      if (events.length > 0) views[person] = { kind: name, chain: chainOf(events), sum: sumOf(events) * version }
    }
    return views
  }
  for (const town of new Set([...payments.values()].flat().map(({ data }) => data.town))) {
    const mine = [...payments].map(
      ([person, events]) => [`person/${person}`, events.filter(({ data }) => data.town === town)] as const,
    )
    const all = mine.flatMap(([, events]) => events)
    const chains = mine.flatMap(([stream, events]) => (events.length > 0 ? [[stream, chainOf(events)]] : []))
    const rest = name === 'towns' ? { people: Object.fromEntries(chains) } : { payments: all.length }
    views[town] = { kind: name, ...rest, sum: sumOf(all) * version }
  }
  return views
}

function chainOf(events: readonly Paid[]): string | undefined {
  let chain: string | undefined
  for (const { id } of events) chain = link(chain, id)
  return chain
}

function sumOf(events: readonly Paid[]): number {
  let sum = 0
  for (const { data } of events) sum += data.amount
  return sum
}

function range(count: number): readonly number[] {
  return Array.from({ length: count }, (_, index) => index)
}
