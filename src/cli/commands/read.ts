import type { Command } from 'commander'
import { StreamNotFound } from '../../core/errors.ts'
import type { Until } from '../../core/read.ts'
import { ordinal, type StoreChoice, storeCommand, until, withStore } from '../options.ts'
import { eventLine, print, printJson } from '../output.ts'

interface Choice extends StoreChoice {
  readonly after?: number
  readonly until?: Until
  readonly backwards?: true
  readonly limit?: number
}

export function readCommand(): Command {
  return storeCommand('read', 'Print the events of a stream.')
    .argument('<stream>', 'type and id: customer/42')
    .option('--after <revision>', 'only later ones', ordinal)
    .option('--until <revision or instant>', 'only up to and with this revision, or recorded by this instant', until)
    .option('--backwards', 'newest first')
    .option('--limit <count>', 'at most so many', ordinal)
    .action(run)
}

async function run(stream: string, choice: Choice): Promise<void> {
  const { after, until, backwards, limit } = choice
  await withStore(choice, 'reading', async (store) => {
    if ((await store.details(stream)) === undefined) throw new StreamNotFound(stream)
    const events = store.read(stream, {
      ...(after !== undefined && { after }),
      ...(until !== undefined && { until }),
      ...(limit !== undefined && { limit }),
      direction: backwards ? 'backwards' : 'forwards',
    })
    for await (const event of events) {
      if (choice.json) await printJson(event)
      else await print(eventLine(event, String(event.revision).padStart(5)))
    }
  })
}
