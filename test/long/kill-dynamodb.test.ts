/**
 * Writers on DynamoDB, the DynamoDB server, and the process that sequences are killed at random moments: whatever was
 * acknowledged is there once, nothing has a gap, and documents agree with their events.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openStorage } from '../../src/open.ts'
import { type DynamoServer, findProgram, newTable, startDynamo } from '../engines/dynamodb.ts'
import { endless, killServer, killsOfOneLog, killWriters, pause, sweep } from '../processes/kills.ts'
import { sequenceChanges, startSequencer } from '../processes/sequencer.ts'
import { checkFile, startWriter } from '../processes/writers.ts'
import { chance, seed, times } from './share.ts'

const program = findProgram() ?? ''
const reason = program === '' ? ' (there is no DynamoDB server for this machine)' : ''
const folder = mkdtempSync(join(tmpdir(), 'daybook-kill-dynamodb-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe.skipIf(program === '')(`on DynamoDB${reason}`, () => {
  let server: DynamoServer
  beforeAll(async () => {
    server = await startDynamo({ program, file: join(folder, 'dynamo.db') })
    return () => server.stop()
  })
  const next = async () => (await newTable(server.endpoint)).url

  test(`killed ${times(100)} times, writers lose nothing that they acknowledged (LONG_SEED=${seed})`, () =>
    killWriters({ kills: times(100), random: chance(seed), next, quiet: sweep }))

  test(`killed ${times(100)} times, the server loses and doubles nothing, and all go on (LONG_SEED=${seed})`, () =>
    killServer({
      kills: times(100),
      random: chance(seed),
      ...{ next, open: openStorage, quiet: sweep },
      async kill() {
        const port = Number(new URL(server.endpoint).port)
        await server.kill()
        server = await startDynamo({ program, file: join(folder, 'dynamo.db'), port })
      },
    }))

  test(`killed ${times(100)} times, who sequences leaves nothing out and nothing half done (LONG_SEED=${seed})`, async () => {
    const random = chance(seed)
    for (let kills = 0; kills < times(100); ) {
      const { url } = await newTable(server.endpoint, 'changes')
      const storage = await openStorage(url, { readOnly: true })
      const elsewhere = `${url}&sequencer=elsewhere`
      // With rests, so that who begins again from the oldest change catches up with them.
      const writers = [1, 2].map((writer) =>
        startWriter({ url: elsewhere, writer: String(writer), ...endless, restMs: 200 }),
      )
      for (let turn = 0; turn < killsOfOneLog && kills < times(100); turn++, kills++) {
        // Sometimes there is a rival.
        const sequencers = random() < 0.3 ? [startSequencer(url), startSequencer(url)] : [startSequencer(url)]
        // Sometimes while it opens the table, mostly in the middle of its work.
        if (turn === 0 || random() < 0.8) await Promise.race(sequencers.map(({ begun }) => begun))
        await pause(random() * 600)
        for (const { process } of sequencers) process.kill('SIGKILL')
        await Promise.all(sequencers.map(({ done }) => done))
      }
      for (const { process } of writers) process.kill('SIGKILL')
      const acknowledged = (await Promise.all(writers.map(({ done }) => done))).flat()
      expect(acknowledged.length).toBeGreaterThan(killsOfOneLog)
      // From the changes alone, without a sweep.
      await sequenceChanges(url, { follow: false })
      await checkFile(storage, acknowledged)
      await storage.close()
    }
  })
})
