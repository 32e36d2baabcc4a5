/**
 * The login/order join while all is young: 10,000 events of one user inside the lateness, each recorded on its own, and the
 * view by event time made anew with whatever comes. Once on each storage; the rate of the first thousand beside the last
 * tells whether a new event costs more the more are young. On DynamoDB it takes minutes: its stand-in writes slowly.
 */
import { openStore, type Storage } from 'daybook'
import { memoryStorage } from 'daybook/memory'
import { openStorage } from 'daybook/open'
import { sqliteStorage } from 'daybook/sqlite'
import { loginOrderJoin } from '../examples/login-order-join/app.ts'
import { ingest } from '../examples/login-order-join/ingest.ts'
import { findProgram, newTable, startDynamo } from '../test/engines/dynamodb.ts'
import { openEngine } from './engine.ts'
import { median } from './measure.ts'

const events = 10_000
const thousand = 1_000
const producers = 8
/** One by one, when all others are there. */
const more = 20

export async function join(folder: string): Promise<void> {
  console.log(`\n${events.toLocaleString('en')} young events of one user, recorded and in the view`)
  console.log('| storage | all | the first thousand | the last | one more, until the view has it | a snapshot |')
  console.log('|---|---|---|---|---|---|')
  await measure('memory', memoryStorage())
  await measure('SQLite', await sqliteStorage({ file: `${folder}/join.db` }))
  const engine = await openEngine()
  if (engine) {
    await measure('PostgreSQL', await openStorage(await engine.newDatabase()))
    await engine.close()
  }
  const program = findProgram()
  if (program) {
    const dynamo = await startDynamo({ program })
    // It wants credentials, and does not look at them.
    process.env['AWS_ACCESS_KEY_ID'] ??= 'tester'
    process.env['AWS_SECRET_ACCESS_KEY'] ??= 'tester'
    const storage = await openStorage((await newTable(dynamo.endpoint)).url)
    await measure('DynamoDB (stand-in)', storage)
    await dynamo.stop()
  }
}

async function measure(name: string, storage: Storage): Promise<void> {
  const { views, projections } = loginOrderJoin({ latenessMs: 3_600_000, snapshotEvery: 100, snapshotSlowerMs: 50 })
  await using store = await openStore(storage, { projections })
  /** How many were folded by when. */
  const folds: { readonly count: number; readonly at: number }[] = []
  store.projections.start({ onFolded: ({ revision: count }) => folds.push({ count, at: performance.now() }) })
  let made = 0
  const order = () => ({
    id: `${made++}`,
    type: 'order-submitted',
    timestamp: Date.now() - (made % 1_000),
    order: { userId: 'ann' },
  })
  const inView = async (orders: number) => {
    while ((await store.views.get(views.users, 'ann'))?.recentOrderCount !== orders)
      await new Promise((done) => setTimeout(done, 2))
  }
  const produce = async () => {
    while (made < events) await ingest(store, [order()])
  }
  const started = { count: 0, at: performance.now() }
  await Promise.all(Array.from({ length: producers }, produce))
  await inView(events)
  const viewed = { count: events, at: performance.now() }
  const first = folds.find(({ count }) => count >= thousand) ?? viewed
  const last = folds.findLast(({ count }) => count <= events - thousand) ?? started
  const waits: number[] = []
  for (let index = 1; index <= more; index++) {
    const begun = performance.now()
    await ingest(store, [order()])
    await inView(events + index)
    waits.push(performance.now() - begun)
  }
  const begun = performance.now()
  // Nothing is settled yet, so that all is read, and nothing is stored.
  await store.snapshots.take(views.settled.name, 'user/ann').catch(() => {})
  const taken = performance.now() - begun
  const rate = (from: typeof started, to: typeof started) =>
    `${Math.round(((to.count - from.count) * 1_000) / (to.at - from.at)).toLocaleString('en')}/s`
  console.log(
    `| ${name} | ${rate(started, viewed)} | ${rate(started, first)} | ${rate(last, viewed)} | ${Math.round(median(waits))} ms | ${Math.round(taken)} ms |`,
  )
}
