/**
 * Export: one event a line, in order of the log. Forgotten streams are left out and counted. With the evidence it is the
 * records themselves, all of them, to be verified elsewhere.
 */
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { rename } from 'node:fs/promises'
import type { Writable } from 'node:stream'
import { finished } from 'node:stream/promises'
import type { Command } from 'commander'
import { InvalidArgument } from '../../core/errors.ts'
import { exportLog } from '../../core/export.ts'
import type { Until } from '../../core/read.ts'
import type { Store } from '../../core/store.ts'
import { openStorage } from '../../open.ts'
import {
  type FilterChoice,
  filterOf,
  ordinal,
  type StoreChoice,
  storeCommand,
  until,
  withFilter,
  withStore,
} from '../options.ts'
import { createProgress, lateProgress, note, plural } from '../output.ts'

interface Choice extends StoreChoice, FilterChoice {
  readonly after?: number
  readonly until?: Until
  readonly evidence?: true
}

export function exportCommand(): Command {
  return withFilter(storeCommand('export', 'Write the events of the log as NDJSON, one a line.'))
    .argument('[file]', 'where to; "-" is the standard output', '-')
    .option('--after <position>', 'only later ones', ordinal)
    .option('--until <position or instant>', 'only up to and with this position, or recorded by this instant', until)
    .option('--evidence', 'all records with what proves them, forgotten ones too: for "daybook verify --export"')
    .action(run)
}

async function run(file: string, choice: Choice): Promise<void> {
  if (choice.evidence) return exportRecords(file, choice)
  const { events, forgotten } = await withStore(choice, 'reading', (store) =>
    written(file, (output) => writeEvents(store, choice, output)),
  )
  if (choice.json) note(JSON.stringify({ events, forgottenStreams: forgotten }))
  else note(`${plural(events, 'event')} exported; ${plural(forgotten, 'forgotten stream')} left out`)
}

/** What is not whole does not get the name. */
async function written<Result>(file: string, write: (output: Writable) => Promise<Result>): Promise<Result> {
  if (file === '-') return write(process.stdout)
  const part = createWriteStream(`${file}.part`)
  const result = await write(part)
  part.end()
  await finished(part)
  await rename(`${file}.part`, file)
  return result
}

async function exportRecords(file: string, { store: url, json, ...choice }: Choice): Promise<void> {
  const { evidence: _, ...others } = choice
  const [part] = Object.keys(others)
  if (part !== undefined) throw new InvalidArgument('--evidence', 'is of the whole log: leave filters and ranges out')
  const storage = await openStorage(url, { readOnly: true })
  const progress = lateProgress('export')
  try {
    const onProgress = ({ position, head }: { readonly position: number; readonly head: number }) =>
      progress.update(position, head)
    const records = await written(file, (output) => writeLines(exportLog(storage, { onProgress }), output))
    note(
      json ? JSON.stringify({ records: records - 1 }) : `${plural(records - 1, 'record')} exported with the evidence`,
    )
  } finally {
    progress.stop()
    await storage.close()
  }
}

/** How many there were. */
async function writeLines(lines: AsyncIterable<string>, output: Writable): Promise<number> {
  let count = 0
  let text = ''
  const flush = async () => {
    if (!output.write(text)) await once(output, 'drain')
    text = ''
  }
  for await (const line of lines) {
    text += `${line}\n`
    count++
    if (text.length >= chunkCharacters) await flush()
  }
  await flush()
  return count
}

async function writeEvents(store: Store, { after = 0, until, ...choice }: Choice, output: Writable) {
  const { head } = await store.info()
  const progress = createProgress('export', Math.max(0, head - after))
  const forgotten = new Set<string>()
  let events = 0
  let lines = ''
  const flush = async () => {
    if (!output.write(lines)) await once(output, 'drain')
    lines = ''
  }
  const range = { after, ...(until !== undefined && { until }) }
  for await (const entry of store.readLog({ ...filterOf(choice), ...range })) {
    if (entry.forgotten || entry.tombstone) {
      forgotten.add(entry.stream)
      continue
    }
    lines += `${JSON.stringify(entry)}\n`
    events++
    if (lines.length < chunkCharacters) continue
    await flush()
    progress.update((entry.position ?? 0) - after)
  }
  await flush()
  progress.stop()
  return { events, forgotten: forgotten.size }
}

/** What is written at once: a write for each line would cost more than the reading. */
const chunkCharacters = 65_536
