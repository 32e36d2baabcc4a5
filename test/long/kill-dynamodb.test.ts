/**
 * Writers on DynamoDB, the DynamoDB server, and the process that sequences are killed at random moments: whatever was
 * acknowledged is there once, nothing has a gap, and documents agree with their events.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openStorage } from '../../src/open.ts'
import { dynamoSequencer, parseDynamoUrl } from '../../src/storage/dynamodb/storage.ts'
import { type DynamoServer, findProgram, newTable, startDynamo } from '../engines/dynamodb.ts'
import { sequenceChanges, startSequencer } from '../processes/sequencer.ts'
import type { Acknowledged } from '../processes/writer.ts'
import { checkFile, startWriter } from '../processes/writers.ts'
import { chance, seed, times } from './share.ts'

const program = findProgram() ?? ''
const reason = program === '' ? ' (there is no DynamoDB server for this machine)' : ''
const folder = mkdtempSync(join(tmpdir(), 'daybook-kill-dynamodb-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const random = chance(seed)
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
const endless = { callers: 4, plain: 4, count: 1_000_000 }
/** Kills on one table: the checks read all of it. */
const killsOfOneTable = 10

/** As an operator would. */
async function sweep(url: string): Promise<void> {
  const sequencer = await dynamoSequencer(parseDynamoUrl(url))
  await sequencer.sweep()
  await sequencer.close()
}

async function check(url: string, acknowledged: readonly Acknowledged[]): Promise<void> {
  const storage = await openStorage(url, { readOnly: true })
  await checkFile(storage, acknowledged)
  await storage.close()
}

describe.skipIf(program === '')(`on DynamoDB${reason}`, () => {
  let server: DynamoServer
  beforeAll(async () => {
    server = await startDynamo({ program, file: join(folder, 'dynamo.db') })
    return () => server.stop()
  })

  test(`killed ${times(100)} times, writers lose nothing that they acknowledged (LONG_SEED=${seed})`, async () => {
    let url = ''
    let acknowledged: Acknowledged[] = []
    let total = 0
    for (let round = 0; round < times(100); round++) {
      if (round % killsOfOneTable === 0) {
        url = (await newTable(server.endpoint)).url
        acknowledged = []
      }
      const writers = [1, 2].map((writer) => startWriter({ url, writer: `${round}-${writer}`, ...endless }))
      // Sometimes while they open the table, mostly in the middle of commits.
      await pause(500 + random() * 1_500)
      for (const { process } of writers) process.kill('SIGKILL')
      for (const { done } of writers) acknowledged.push(...(await done))
      await sweep(url)
      await check(url, acknowledged)
      total += acknowledged.length
    }
    expect(total).toBeGreaterThan(0)
  })

  test(`the server killed ${times(100)} times, writers go on and lose nothing (LONG_SEED=${seed})`, async () => {
    const port = Number(new URL(server.endpoint).port)
    for (let kills = 0; kills < times(100); ) {
      const { url } = await newTable(server.endpoint)
      const writers = [1, 2].map((writer) => startWriter({ url, writer: String(writer), ...endless }))
      await pause(1_500)
      for (let turn = 0; turn < killsOfOneTable && kills < times(100); turn++, kills++) {
        await pause(100 + random() * 600)
        await server.kill()
        server = await startDynamo({ program, file: join(folder, 'dynamo.db'), port })
      }
      await pause(500)
      for (const { process } of writers) process.kill('SIGKILL')
      const acknowledged = (await Promise.all(writers.map(({ done }) => done))).flat()
      expect(acknowledged.length).toBeGreaterThan(0)
      await sweep(url)
      await check(url, acknowledged)
    }
  })

  test(`killed ${times(100)} times, who sequences leaves nothing out and nothing half done (LONG_SEED=${seed})`, async () => {
    for (let kills = 0; kills < times(100); ) {
      const { url } = await newTable(server.endpoint)
      const elsewhere = `${url}&sequencer=elsewhere`
      const writers = [1, 2].map((writer) => startWriter({ url: elsewhere, writer: String(writer), ...endless }))
      for (let turn = 0; turn < killsOfOneTable && kills < times(100); turn++, kills++) {
        const { process, done } = startSequencer(url)
        await pause(500 + random() * 1_500)
        process.kill('SIGKILL')
        await done
      }
      for (const { process } of writers) process.kill('SIGKILL')
      const acknowledged = (await Promise.all(writers.map(({ done }) => done))).flat()
      expect(acknowledged.length).toBeGreaterThan(0)
      // From the changes alone, without a sweep.
      await sequenceChanges(url, { follow: false })
      await check(url, acknowledged)
    }
  })
})
