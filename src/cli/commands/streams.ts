import type { Command } from 'commander'
import { type StoreChoice, storeCommand, withStore } from '../options.ts'
import { print, printJson } from '../output.ts'

interface Choice extends StoreChoice {
  readonly updatedAfter?: string
}

export function streamsCommand(): Command {
  return storeCommand('streams', 'List the streams of a type, least recently updated first; without a type, the types.')
    .argument('[type]', 'the stream type')
    .option('--updated-after <instant>', 'only those updated at or after this instant')
    .action(run)
}

async function run(type: string | undefined, choice: Choice): Promise<void> {
  await withStore(choice, 'reading', async (store) => {
    if (type === undefined) {
      for (const name of await store.streamTypes()) await (choice.json ? printJson({ type: name }) : print(name))
      return
    }
    const { updatedAfter } = choice
    for await (const details of store.streams(type, updatedAfter === undefined ? {} : { updatedAfter })) {
      if (choice.json) await printJson(details)
      else
        await print(
          `${details.updatedAt}  ${details.stream}  ${details.revision}${details.forgotten ? '  (forgotten)' : ''}`,
        )
    }
  })
}
