/**
 * Processes are killed in the middle of catch-up, rebuild, switch, snapshot and job: afterwards views are what a fresh fold
 * of the log makes, every job has had its effect once, and nothing that was acknowledged is lost.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { missingDynamo, newTable } from '../engines/dynamodb.ts'
import { missingPostgres, newDatabase, quiet } from '../engines/postgres.ts'
import { sweep } from '../processes/kills.ts'
import { killProjectors, type Tally } from '../processes/projecting.ts'
import { chance, seed, times } from './share.ts'

const folder = mkdtempSync(join(tmpdir(), 'daybook-kill-projections-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const postgres = missingPostgres()
const dynamo = missingDynamo()

test(`killed ${times(200)} times on SQLite, processes leave what others finish (LONG_SEED=${seed})`, async () => {
  const next = async () => `sqlite:${join(folder, `${crypto.randomUUID()}.db`)}`
  check(await killProjectors({ kills: times(200), random: chance(seed), next, quiet: async () => {}, restMs: 2 }))
})

test.skipIf(postgres !== undefined)(
  `killed ${times(200)} times on PostgreSQL, they do so too (LONG_SEED=${seed})${postgres ? `: ${postgres}` : ''}`,
  async () => {
    const next = async () => (await newDatabase()).url
    check(await killProjectors({ kills: times(200), random: chance(seed), next, quiet, restMs: 5 }))
  },
)

test.skipIf(dynamo !== undefined)(
  `killed ${times(200)} times on DynamoDB, they do so too (LONG_SEED=${seed})${dynamo ? `: ${dynamo}` : ''}`,
  async () => {
    const next = async () => (await newTable()).url
    check(await killProjectors({ kills: times(200), random: chance(seed), next, quiet: sweep, restMs: 20 }))
  },
)

/** It was worth it: things were begun and broken off, others came to their end, and loads had snapshots. */
function check({ begun, done, snapshots }: Tally): void {
  expect([...begun.values()].reduce((sum, count) => sum + count, 0)).toBeGreaterThan(0)
  expect(done.size).toBeGreaterThan(0)
  expect(snapshots).toBeGreaterThan(0)
}
