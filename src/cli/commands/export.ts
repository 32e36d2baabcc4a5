/** Export: one event a line, in order of the log. Forgotten streams are left out and counted. */
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { rename } from 'node:fs/promises'
import type { Writable } from 'node:stream'
import { finished } from 'node:stream/promises'
import type { Command } from 'commander'
import type { Until } from '../../core/read.ts'
import type { Store } from '../../core/store.ts'
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
import { createProgress, note, plural } from '../output.ts'

interface Choice extends StoreChoice, FilterChoice {
  readonly after?: number
  readonly until?: Until
}

export function exportCommand(): Command {
  return withFilter(storeCommand('export', 'Write the events of the log as NDJSON, one a line.'))
    .argument('[file]', 'where to; "-" is the standard output', '-')
    .option('--after <position>', 'only later ones', ordinal)
    .option('--until <position or instant>', 'only up to and with this position, or recorded by this instant', until)
    .action(run)
}

async function run(file: string, choice: Choice): Promise<void> {
  const { events, forgotten } = await withStore(choice, 'reading', async (store) => {
    if (file === '-') return writeEvents(store, choice, process.stdout)
    // What is not whole does not get the name.
    const part = createWriteStream(`${file}.part`)
    const written = await writeEvents(store, choice, part)
    part.end()
    await finished(part)
    await rename(`${file}.part`, file)
    return written
  })
  if (choice.json) note(JSON.stringify({ events, forgottenStreams: forgotten }))
  else note(`${plural(events, 'event')} exported; ${plural(forgotten, 'forgotten stream')} left out`)
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
