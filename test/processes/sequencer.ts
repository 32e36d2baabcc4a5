/**
 * A process that only sequences, until it is killed: `node sequencer.ts URL`. It hands the table's changes to the
 * function that Lambda would call, in batches, from the oldest change that is kept, as one does that has lost its place.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import pino from 'pino'
import { sleep } from '../../src/core/turn.ts'
import { type StreamEvent, sequencerHandler } from '../../src/hosts/lambda.ts'
import { dynamoSequencer, parseDynamoUrl, type Sequenced } from '../../src/storage/dynamodb/storage.ts'
import { openChanges } from '../engines/changes.ts'
import { newClient } from '../engines/dynamodb.ts'

const batchRecords = 100
const batchTries = 20
const pollMs = 20

type Handler = (event: StreamEvent) => Promise<Sequenced>

export interface SequencerProcess {
  readonly process: ChildProcess
  /** Resolves when it has given the first positions, or has ended. */
  readonly begun: Promise<unknown>
  /** Throws where it was not killed. */
  readonly done: Promise<unknown>
}

export function startSequencer(url: string): SequencerProcess {
  const flags = ['--disable-warning=ExperimentalWarning', '--conditions=daybook-source']
  const args = [...flags, fileURLToPath(import.meta.url), url]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const done = (async () => {
    const [code, signal] = (await once(child, 'exit')) as [number | null, string | null]
    if (signal !== 'SIGKILL') throw new Error(`the sequencer ended with ${code ?? signal}`)
  })()
  return { process: child, begun: Promise.race([once(child.stdout, 'data'), done]), done }
}

/** Hands over what there is, until the signal ends it, or until there is nothing more. */
export async function sequenceChanges(
  url: string,
  { follow, onBatch = () => {} }: { readonly follow: boolean; readonly onBatch?: (positioned: number) => void },
): Promise<void> {
  const { table, endpoint = '' } = parseDynamoUrl(url)
  const client = newClient(endpoint)
  const changes = await openChanges(client, table)
  const handler = sequencerHandler(await dynamoSequencer({ table, client }), { logger: pino({ level: 'silent' }) })
  for (;;) {
    const records = await changes.next()
    for (let at = 0; at < records.length; at += batchRecords) {
      onBatch(await handled(handler, { Records: records.slice(at, at + batchRecords) }))
    }
    if (records.length === 0 && !follow) break
    if (records.length === 0) await sleep(pollMs)
  }
  changes.close()
  client.destroy()
}

/** A batch that fails comes again, as Lambda has it. */
async function handled(handler: Handler, event: StreamEvent): Promise<number> {
  for (let tries = 1; ; tries++) {
    try {
      return (await handler(event)).positioned
    } catch (error) {
      if (tries === batchTries) throw error
      await sleep(pollMs)
    }
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const onBatch = (positioned: number) => {
    if (positioned > 0) writeSync(1, `${positioned}\n`)
  }
  await sequenceChanges(process.argv[2] ?? '', { follow: true, onBatch })
}
