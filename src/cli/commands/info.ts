import type { Command } from 'commander'
import { type StoreChoice, storeCommand, withStore } from '../options.ts'
import { plural, printFacts, printJson } from '../output.ts'

export function infoCommand(): Command {
  return storeCommand('info', 'Tell what the store is and how much it holds.').action(run)
}

async function run(choice: StoreChoice): Promise<void> {
  await withStore(choice, 'reading', async (store) => {
    const [info, types] = [await store.info(), await store.streamTypes()]
    if (choice.json) return printJson({ ...info, streamTypes: types })
    await printFacts({
      storage: info.storage,
      log: info.logId,
      head: plural(info.head, 'event'),
      'stream types': types.join(', ') || 'none',
      ...Object.fromEntries(Object.entries(info.gauges).map(([name, value]) => [name, value.toLocaleString('en')])),
    })
  })
}
