/** The histories of many clients, over and over, while their engine fails; and of clients in processes that are killed. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, describe, expect, test } from 'vitest'
import { createRecorder, type HistoryRecorder, readToTheEnd } from '../../src/conformance/clients.ts'
import { contradictionIn, type Operation } from '../../src/conformance/history.ts'
import { range } from '../../src/conformance/kit.ts'
import { missingDynamo, newTable } from '../engines/dynamodb.ts'
import { breakPostgres, checkEngine, faultyEngines, missingEngine } from '../engines/faulty.ts'
import { missingPostgres, newDatabase } from '../engines/postgres.ts'
import { machineTime, openAmidFaults, startClients } from '../processes/clients.ts'
import { chance, seed, times } from './share.ts'

const folder = mkdtempSync(join(tmpdir(), 'daybook-histories-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const failed = ({ kind, ...operation }: Operation) =>
  'outcome' in operation && (operation.outcome === 'unknown' || operation.outcome === 'refused')

for (const [name, make] of Object.entries(faultyEngines)) {
  const missing = missingEngine(name)
  // Its calls are many and wait long before they give up.
  const rounds = times(name === 'dynamodb' ? 10 : 50)
  describe.skipIf(missing !== undefined)(`${name}${missing ? ` (${missing})` : ''}`, () => {
    test(`clients agree on one order in each stream ${rounds} times while the engine fails (LONG_SEED=${seed})`, async () => {
      const random = chance(seed)
      const engine = await make(random)
      const checked = (rounds: number) => checkEngine(engine, { rounds, clients: 12, operations: 80, random })
      let wasFelt = (await checked(rounds)).some(failed)
      // In few rounds the engine may happen to fail where nobody is told.
      for (let more = 0; engine.faults && !wasFelt && more < 10; more++) wasFelt = (await checked(1)).some(failed)
      if (engine.faults) expect(wasFelt).toBe(true)
      await engine.close()
    })
  })
}

/** Clients in three processes, two of which are killed; then all that was said is read together. */
async function killedRound(url: string, round: number, random: () => number): Promise<readonly Operation[]> {
  const streams = range(1, 3).map((stream) => `seat/${round}-${stream}`)
  const recorder: HistoryRecorder = { ...createRecorder(), now: machineTime }
  const processes = range(1, 3).map((number) => {
    const clients = range(1, 4).map((client) => `client ${round}-${number}-${client}`)
    const operations = number === 1 ? 150 : 1_000_000
    return startClients({ url, clients, streams, operations, seed: Math.floor(random() * 1_000_000) })
  })
  const [, ...others] = processes
  await Promise.all(others.map(({ began }) => began))
  await new Promise((resolve) => setTimeout(resolve, random() * 1_000))
  for (const { process } of others) process.kill('SIGKILL')
  for (const { done } of processes) for (const operation of await done) recorder.record(operation)
  await using store = await openAmidFaults(url)
  await readToTheEnd(store, streams, recorder)
  const history = recorder.history()
  expect(contradictionIn(history)?.message).toBeUndefined()
  return history
}

test(`clients in processes that are killed agree on one order in each stream of a file, ${times(40)} times (LONG_SEED=${seed})`, async () => {
  const random = chance(seed)
  for (const round of range(1, times(40))) await killedRound(`sqlite:${join(folder, `${round}.db`)}`, round, random)
})

const lacking = missingDynamo()
test.skipIf(lacking !== undefined)(
  `so they do on DynamoDB, ${times(20)} times (LONG_SEED=${seed})${lacking ? ` (${lacking})` : ''}`,
  async () => {
    const random = chance(seed)
    const { url } = await newTable()
    for (const round of range(1, times(20))) await killedRound(url, round, random)
  },
)

const missing = missingPostgres()
test.skipIf(missing !== undefined)(
  `so they do on PostgreSQL, whose connections are broken, ${times(40)} times (LONG_SEED=${seed})${missing ? ` (${missing})` : ''}`,
  async () => {
    const random = chance(seed)
    const { url, drop } = await newDatabase()
    const breaking = new pg.Pool({ connectionString: url, application_name: 'the fault', max: 1 })
    for (const round of range(1, times(40))) {
      const working = killedRound(url, round, random)
      let ended = false
      const faults = (async () => {
        while (!ended) {
          await new Promise((resolve) => setTimeout(resolve, 50 + random() * 200))
          await breakPostgres(breaking, random)
        }
      })()
      await working.finally(() => {
        ended = true
      })
      await faults
    }
    await breaking.end()
    await drop()
  },
)
