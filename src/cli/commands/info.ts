import type { Command } from 'commander'
import { type StoreChoice, storeCommand, withStore } from '../options.ts'
import { plural, print, printJson } from '../output.ts'

export function infoCommand(): Command {
  return storeCommand('info', 'Tell what the store is and how much it holds.').action(run)
}

async function run(choice: StoreChoice): Promise<void> {
  await withStore(choice, 'reading', async (store) => {
    const [info, types] = [await store.info(), await store.streamTypes()]
    if (choice.json) return printJson({ ...info, streamTypes: types })
    await print(`storage       ${info.storage}`)
    await print(`log           ${info.logId}`)
    await print(`head          ${plural(info.head, 'event')}`)
    await print(`stream types  ${types.join(', ') || 'none'}`)
    for (const [name, value] of Object.entries(info.gauges)) {
      await print(`${name.padEnd(13)} ${value.toLocaleString('en')}`)
    }
  })
}
