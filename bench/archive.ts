/** Reading archived events from a folder against reading them hot: each scan opens its store anew, so that nothing is in memory yet. */
import { copyFileSync } from 'node:fs'
import { openStore } from 'daybook'
import { folderObjects } from 'daybook/objects/folder'
import { sqliteStorage } from 'daybook/sqlite'
import { type Measured, median, ratio, sideBySide } from './measure.ts'
import { fill } from './memory.ts'

const events = 100_000

export async function archive(folder: string, rounds: number): Promise<void> {
  const hot = await fill(`${folder}/hot.db`, events)
  const archived = `${folder}/archived.db`
  copyFileSync(hot, archived)
  const objects = folderObjects(`${folder}/archive`)
  {
    await using store = await openStore(await sqliteStorage({ file: archived }), {
      archive: { objects, retention: { permit: { keepDays: 0 } } },
    })
    const started = performance.now()
    const [moved] = await store.archive.run()
    const rate = Math.round(((moved?.events ?? 0) / (performance.now() - started)) * 1_000)
    console.log(`\n${moved?.events} events archived in ${moved?.segments} segments, ${rate.toLocaleString('en')}/s`)
  }

  const scan = (file: string) => async () => {
    await using store = await openStore(await sqliteStorage({ file }), { archive: { objects }, readOnly: true })
    let read = 0
    for await (const entry of store.readLog()) if (!entry.forgotten && entry.data !== null) read++
    if (read !== events) throw new Error(`read ${read}`)
    return read
  }
  const measured = await sideBySide({ archived: scan(archived), hot: scan(hot) }, rounds)
  const [cold, warm] = measured as [Measured, Measured]
  const rate = (of: Measured) => `${Math.round(median(of.rates)).toLocaleString('en')}/s`
  console.log('\n| archive figure | archived | hot | ratio | to reach |\n|---|---|---|---|---|')
  console.log(`| log scan from a folder | ${rate(cold)} | ${rate(warm)} | ${ratio(cold, warm).toFixed(2)} | ≥ 0.3 |`)
}
