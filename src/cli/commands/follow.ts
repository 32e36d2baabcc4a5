import type { Command } from 'commander'
import {
  type FilterChoice,
  filterOf,
  ordinal,
  type StoreChoice,
  storeCommand,
  untilSignal,
  withFilter,
  withStore,
} from '../options.ts'
import { eventLine, note, print, printJson } from '../output.ts'

interface Choice extends StoreChoice, FilterChoice {
  readonly after?: number
  readonly once?: true
}

export function followCommand(): Command {
  return withFilter(
    storeCommand('follow', 'Print the log in order of position, then what comes, until a signal ends it.'),
  )
    .option('--after <position>', 'only later ones', ordinal)
    .option('--once', 'end when all there is was printed')
    .action(run)
}

async function run(choice: Choice): Promise<void> {
  const done = new AbortController()
  const signal = AbortSignal.any([done.signal, untilSignal()])
  await withStore(choice, 'reading', async (store) => {
    const entries = store.subscribe({
      ...filterOf(choice),
      after: choice.after ?? 0,
      signal,
      onCaughtUp(position) {
        if (choice.once) done.abort()
        else if (!choice.json) note(`-- caught up at position ${position} --`)
      },
      onTrouble: (error, retryInMs) => note(`-- ${String(error)}; again in ${Math.round(retryInMs)} ms --`),
    })
    for await (const entry of entries) {
      if (choice.json) await printJson(entry)
      else
        await print(eventLine(entry, `${String(entry.position ?? '').padStart(7)}  ${entry.stream} ${entry.revision}`))
    }
  })
}
