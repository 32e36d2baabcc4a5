/**
 * A process that only sequences, until it is killed: `node sequencer.ts '{"url":…}'`. It hands the table's changes to the
 * function that Lambda would call, in batches, from the oldest change that is kept, as one does that has lost its place.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import pino from 'pino'
import { sleep } from '../../src/core/turn.ts'
import { sequencerHandler } from '../../src/hosts/lambda.ts'
import { dynamoSequencer, parseDynamoUrl } from '../../src/storage/dynamodb/storage.ts'
import { openChanges } from '../engines/changes.ts'
import { newClient } from '../engines/dynamodb.ts'

const batchRecords = 100
const pollMs = 20

export function startSequencer(url: string): { readonly process: ChildProcess; readonly done: Promise<unknown> } {
  const flags = ['--disable-warning=ExperimentalWarning', '--conditions=daybook-source']
  const child = spawn(process.execPath, [...flags, fileURLToPath(import.meta.url), url], { stdio: 'inherit' })
  return { process: child, done: once(child, 'exit') }
}

/** Hands over what there is, until the signal ends it, or until there is nothing more. */
export async function sequenceChanges(url: string, { follow }: { readonly follow: boolean }): Promise<void> {
  const { table, endpoint = '' } = parseDynamoUrl(url)
  const client = newClient(endpoint)
  const changes = await openChanges(client, table)
  const handler = sequencerHandler(await dynamoSequencer({ table, client }), { logger: pino({ level: 'silent' }) })
  for (;;) {
    const records = await changes.next()
    for (let at = 0; at < records.length; at += batchRecords) {
      await handler({ Records: records.slice(at, at + batchRecords) })
    }
    if (records.length === 0 && !follow) break
    if (records.length === 0) await sleep(pollMs)
  }
  changes.close()
  client.destroy()
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await sequenceChanges(process.argv[2] ?? '', { follow: true })
