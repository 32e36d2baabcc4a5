/**
 * The ledger's figures, on SQLite: a proof of an event among a million, verifying the whole log against reading it, and
 * appends while the log is sealed against appends while it is not.
 */
import { rmSync, statSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { checkProof, newLedgerKeys, openStore, type Store, signerOf } from 'daybook'
import { sqliteStorage } from 'daybook/sqlite'
import { median, ratio, sideBySide } from './measure.ts'
import { eventType, sampleData } from './sample.ts'

const streams = 10_000
const callers = 32
/** Far more often than by default, so that sealing is at work all the time that is measured. */
const everyMs = 1_000
const { signerKey, verifierKey } = newLedgerKeys('bench.example/log')
const options = { ledger: { signer: signerOf(signerKey), everyMs } }

export async function ledger(folder: string, rounds: number): Promise<void> {
  const total = Number(process.env['EVENTS'] ?? 1_000_000)
  const file = `${folder}/ledger.db`
  await using store = await openStore(await sqliteStorage({ file }), options)
  await fill(store, total)
  const started = performance.now()
  await store.ledger.seal()
  const sealing = Math.round((total / (performance.now() - started)) * 1_000)
  console.log(`\nSealed ${count(total)} events at ${count(sealing)} a second.\n`)
  console.log('| figure | measured | to reach |')
  console.log('|---|---|---|')
  await proofs(store, total)
  await verification(store, file, { rounds, total })
  await appends(folder, rounds)
}

async function fill(store: Store, total: number): Promise<void> {
  const batch = 25
  for (let written = 0; written < total; written += batch * 20) {
    await store.appendMany(
      Array.from({ length: 20 }, (_, part) => ({
        stream: `permit/case-${(written / batch + part) % streams}`,
        events: Array.from({ length: batch }, (_, index) => ({
          type: eventType,
          data: sampleData(written + part * batch + index),
        })),
      })),
    )
  }
}

async function proofs(store: Store, total: number): Promise<void> {
  const times: number[] = []
  const bytes: number[] = []
  for (let index = 0; index < 1_000; index++) {
    const position = 1 + ((index * 7_919) % total)
    const started = performance.now()
    const proof = await store.ledger.prove({ position })
    times.push(performance.now() - started)
    const { path } = proof
    bytes.push(JSON.stringify({ position, path }).length)
    if (index % 100 === 0) checkProof(proof, [verifierKey])
  }
  const sorted = times.toSorted((a, b) => a - b)
  const [half = 0, late = 0] = [median(times), sorted[Math.floor(sorted.length * 0.99)]]
  const took = `${half.toFixed(2)} ms (99 of 100: ${late.toFixed(2)} ms)`
  console.log(`| inclusion proof among ${count(total)} events | ${took} | ≤ 2 ms |`)
  console.log(`| its size | ${Math.max(...bytes)} bytes | ≤ 1,024 |`)
}

/** Against rows as the driver gives them: of all columns that verifying reads, and of the content alone. */
async function verification(
  store: Store,
  file: string,
  { rounds, total }: { readonly rounds: number; readonly total: number },
): Promise<void> {
  const db = new DatabaseSync(file, { readOnly: true })
  const scan = (columns: string) => {
    const page = db.prepare(`SELECT l.position, s.name, l.revision, l.time, l.state, ${columns}
      FROM log l JOIN stream s ON s.stream_no = l.stream_no WHERE l.position > ? ORDER BY l.position LIMIT 1000`)
    return async () => {
      let rows = 0
      for (let after = 0; ; ) {
        const found = page.all(after) as { position: number }[]
        rows += found.length
        after = found.at(-1)?.position ?? after
        if (found.length < 1_000) return rows
      }
    }
  }
  const measured = await sideBySide(
    {
      async verify() {
        const { fault, verified } = await store.ledger.verify()
        if (fault || verified !== total) throw new Error(`verified ${verified}`)
        return total
      },
      evidence: scan('l.content, l.salt, l.commitment, l.entry'),
      content: scan('l.content'),
    },
    rounds,
  )
  db.close()
  const of = (name: string) => measured.find((each) => each.name === name) ?? { name, rates: [] }
  const times = (name: string) => ratio(of('verify'), of(name)).toFixed(2)
  const rate = (name: string) => count(Math.round(median(of(name).rates)))
  console.log(`| full verification | ${rate('verify')} events/s | |`)
  console.log(`| × the raw scan of what it reads (${rate('evidence')} rows/s) | ${times('evidence')} | ≥ 0.5 |`)
  console.log(`| × the raw scan of the content alone (${rate('content')} rows/s) | ${times('content')} | |`)
}

/**
 * Single durable appends by 32 callers; what is sealed was appended in the round. Rounds are short and many, for the disk drifts;
 * the time of the processor per append beside, which drifts less.
 */
async function appends(folder: string, rounds: number): Promise<void> {
  const files = ['off', 'on'].map((name) => `${folder}/appends-${name}.db`)
  const stores = await Promise.all(
    files.map(async (file, at) => openStore(await sqliteStorage({ file }), at === 1 ? options : {})),
  )
  for (const store of stores) store.jobs.work({})
  const microseconds = stores.map((): number[] => [])
  const appending = (store: Store, at: number) => async () => {
    const [until, before] = [performance.now() + 3 * everyMs, process.cpuUsage()]
    let appended = 0
    await Promise.all(
      Array.from({ length: callers }, async (_, caller) => {
        while (performance.now() < until) {
          await store.append(`permit/case-${caller}`, [{ type: eventType, data: sampleData(appended) }])
          appended++
        }
      }),
    )
    const { user, system } = process.cpuUsage(before)
    microseconds[at]?.push((user + system) / appended)
    return appended
  }
  const [off, on] = stores
  if (off === undefined || on === undefined) return
  const [without, sealing] = await sideBySide({ off: appending(off, 0), on: appending(on, 1) }, 2 * rounds)
  for (const store of stores) await store.close()
  const bytes = files.map((file) => statSync(file).size)
  for (const file of files) rmSync(file)
  if (without === undefined || sealing === undefined) return
  const rates = `${count(Math.round(median(sealing.rates)))} and ${count(Math.round(median(without.rates)))} a second`
  console.log(
    `| durable appends, 32 callers, sealing every ${everyMs} ms against none (${rates}) | ${ratio(sealing, without).toFixed(2)} | ≥ 0.95 |`,
  )
  const [plain, sealed] = microseconds.map((each) => `${median(each).toFixed(0)} µs`)
  console.log(`| the processor's time for an append, sealed and not | ${sealed} and ${plain} | |`)
  console.log(`| the file's size, sealed against not | ${((bytes[1] ?? 0) / (bytes[0] ?? 1)).toFixed(2)} | |`)
}

function count(value: number): string {
  return value.toLocaleString('en')
}
