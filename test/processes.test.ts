/** Real processes on one file, one server, one table: they share it, and what they acknowledge is on the disk. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { positionsOf, range } from '../src/conformance/kit.ts'
import { openStore } from '../src/core/store.ts'
import { openStorage } from '../src/open.ts'
import { missingDynamo, newTable } from './engines/dynamodb.ts'
import { missingPostgres, newDatabase } from './engines/postgres.ts'
import { checkFile, startWriter } from './processes/writers.ts'

const folder = mkdtempSync(join(tmpdir(), 'daybook-processes-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const place = () => join(folder, `${crypto.randomUUID()}.db`)

/** Writers in processes of their own, a subscriber here. */
async function share(url: string): Promise<void> {
  const [processes, callers, plain, count] = [3, 6, 2, 25]
  const total = processes * (callers + plain) * count
  const storage = await openStorage(url)
  const store = await openStore({ ...storage, close: async () => {} })
  const seen: { position?: number }[] = []
  const following = (async () => {
    for await (const entry of store.subscribe()) {
      seen.push(entry)
      if (seen.length === total) return
    }
  })()
  const writers = range(1, processes).map((writer) =>
    startWriter({ url, writer: String(writer), callers, plain, count }),
  )
  const acknowledged = (await Promise.all(writers.map(({ done }) => done))).flat()
  expect(acknowledged).toHaveLength(total)
  await following
  expect(positionsOf(seen)).toEqual(range(1, total))
  await checkFile(storage, acknowledged)
  await storage.close()
}

const shared: Readonly<Record<string, { missing?: string | undefined; place(): Promise<Place> }>> = {
  'one file': { place: async () => ({ url: `sqlite:${place()}` }) },
  'one PostgreSQL': { missing: missingPostgres(), place: newDatabase },
  'one table of DynamoDB': { missing: missingDynamo(), place: newTable },
}

interface Place {
  readonly url: string
  drop?(): Promise<void>
}

for (const [where, { missing, place }] of Object.entries(shared)) {
  const held = missing === undefined ? test : test.skip
  const reason = missing === undefined ? '' : ` (${missing})`
  held(
    `several processes write to ${where} at once, and a subscriber sees each event once, in order${reason}`,
    async () => {
      const { url, drop } = await place()
      await share(url)
      await drop?.()
    },
  )
}

const strace = spawnSync('strace', ['--version']).status === 0
const traced = strace || process.env['CI'] ? test : test.skip

traced(
  `each group of appends is synced to the disk before it is acknowledged${strace ? '' : ' (no strace on this machine)'}`,
  async () => {
    const file = place()
    const trace = join(folder, 'trace')
    const count = 40
    const wrapper = ['strace', '-f', '-y', '-e', 'trace=fsync,fdatasync,write', '-o', trace]
    const { done } = startWriter({ url: `sqlite:${file}`, writer: '1', callers: 4, count }, wrapper)
    expect(await done).toHaveLength(4 * count)
    let syncs = 0
    let groups = 0
    let acknowledgedSince = 0
    for (const line of readFileSync(trace, 'utf8').split('\n')) {
      // Another thread's call may stand in the middle of this one's line.
      if (/f(data)?sync\(\d+<[^>]*\.db-wal>(\)| <unfinished)/.test(line)) {
        if (acknowledgedSince > 0) groups++
        acknowledgedSince = 0
        syncs++
      } else if (line.includes('write(1<') && line.includes('\\"revision\\"')) {
        // Whatever was acknowledged, a sync came between it and the group before.
        expect(syncs).toBeGreaterThan(0)
        acknowledgedSince++
        expect(acknowledgedSince).toBeLessThanOrEqual(4)
      }
    }
    groups++
    expect(groups).toBeGreaterThanOrEqual(count)
    expect(syncs).toBeGreaterThanOrEqual(groups)
  },
)
