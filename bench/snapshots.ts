/** Loads of a long entity from a snapshot against those of a short one: the length of the past must cost next to nothing. */
import { openStore } from 'daybook'
import { sqliteStorage } from 'daybook/sqlite'
import { median, ratio, sideBySide } from './measure.ts'
import { count, eventType, sampleData } from './sample.ts'

const long = 10_000
const short = 10
/** Events behind the snapshot. */
const tails = [0, 10, 50]
const streams = 20
const fold = { initialState: () => ({ events: 0, last: '' }), evolve: count }
const decider = { ...fold, snapshot: { name: 'case', version: 1 } }

export async function snapshots(folder: string, rounds: number): Promise<void> {
  await using store = await openStore(await sqliteStorage({ file: `${folder}/snapshots.db` }))
  const append = async (stream: string, events: number) => {
    for (let written = 0; written < events; written += 1_000) {
      const batch = Array.from({ length: Math.min(1_000, events - written) }, (_, index) => ({
        type: eventType,
        data: sampleData(written + index),
      }))
      await store.append(stream, batch)
    }
  }
  for (let id = 0; id < streams; id++) {
    await append(`short/${id}`, short)
    for (const tail of tails) {
      const stream = `tail${tail}/${id}`
      await append(stream, long - tail)
      await store.snapshots.take(decider, stream)
      await append(stream, tail)
    }
  }

  let turn = 0
  const loads = (kind: string, events: number, by: typeof fold, times: number) => async () => {
    for (let index = 0; index < times; index++) {
      const { state } = await store.load(`${kind}/${++turn % streams}`, by)
      if (state.events !== events) throw new Error(`loaded ${state.events}`)
    }
    return times
  }
  const contenders = {
    short: loads('short', short, fold, 2_000),
    ...Object.fromEntries(tails.map((tail) => [`tail${tail}`, loads(`tail${tail}`, long, decider, 1_000)])),
    whole: loads('tail0', long, fold, 10),
  }
  const measured = await sideBySide(contenders, rounds)
  const of = (name: string) => measured.find((each) => each.name === name) ?? { name, rates: [] }
  const us = (name: string) => `${Math.round(1e6 / median(of(name).rates)).toLocaleString('en')} µs`
  const times = (name: string) => ratio(of('short'), of(name)).toFixed(2)
  console.log(
    `\n| load of a ${long.toLocaleString('en')}-event entity | takes | times a ${short}-event entity | to reach |`,
  )
  console.log('|---|---|---|---|')
  for (const tail of tails)
    console.log(
      `| snapshot, ${tail} events behind it | ${us(`tail${tail}`)} | ${times(`tail${tail}`)} | ${tail <= short ? '≤ 3' : ''} |`,
    )
  console.log(`| no snapshot | ${us('whole')} | ${times('whole')} | |`)
  console.log(`| a ${short}-event entity, no snapshot | ${us('short')} | 1.00 | |`)
}
