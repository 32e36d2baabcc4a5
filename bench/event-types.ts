/** What a declared event type costs an append and a read, against one that is not: a check, a stamp, steps of upcasting. */
import { openStore, type Store } from 'daybook'
import { memoryStorage } from 'daybook/memory'
import { sqliteStorage } from 'daybook/sqlite'
import { type Contender, median, ratio, sideBySide } from './measure.ts'
import { sampleData } from './sample.ts'

const text = { type: 'string' }
const instant = { type: 'string', format: 'date-time' }
const schema = {
  type: 'object',
  properties: {
    ...{ channel: { enum: ['Internet', 'Desk', 'Post'] }, department: text, group: text, responsible: text },
    ...{ deadline: instant, endedAt: instant, startedAt: instant },
    resource: { type: 'string', pattern: '^Resource[0-9]+$' },
    task: { type: 'string', minLength: 1, maxLength: 100 },
  },
  required: ['channel', 'deadline', 'task'],
  additionalProperties: false,
}
const upcast = [
  { move: '/responsible', to: '/by/name' },
  { default: '/by/role', value: 'clerk' },
]
const perStream = 100

export async function eventTypes(folder: string, rounds: number): Promise<void> {
  console.log('\n| of a declared type, events of 300 bytes | declared | not declared | ratio |\n|---|---|---|---|')
  for (const name of ['memory', 'SQLite']) {
    const storage = name === 'memory' ? memoryStorage() : await sqliteStorage({ file: `${folder}/event-types.db` })
    await using store = await openStore(storage)
    await store.eventTypes.declare({ type: 'Declared', version: 1, schema })
    const batch = (type: string) => Array.from({ length: perStream }, (_, index) => ({ type, data: sampleData(index) }))
    let stream = 0
    const appends =
      (type: string, events: number, times: number): Contender =>
      async () => {
        for (let index = 0; index < times; index++)
          await store.append(`permit/${++stream}`, batch(type).slice(0, events))
        return times * events
      }
    await print(
      `append of one, ${name}`,
      { Declared: appends('Declared', 1, 1_000), Free: appends('Free', 1, 1_000) },
      rounds,
    )
    await print(
      `append of ${perStream}, ${name}`,
      { Declared: appends('Declared', perStream, 50), Free: appends('Free', perStream, 50) },
      rounds,
    )

    for (const type of ['Declared', 'Free']) {
      for (let id = 0; id < 50; id++) await store.append(`${type}/${id}`, batch(type))
    }
    await print(`read, stamped, ${name}`, readers(store), rounds)
    await store.eventTypes.declare({ type: 'Declared', version: 2, schema: true, upcast })
    await print(`read, two steps of upcasting, ${name}`, readers(store), rounds)
  }
}

function readers(store: Store): Record<'Declared' | 'Free', Contender> {
  const read =
    (type: string): Contender =>
    async () => {
      let events = 0
      for (let id = 0; id < 50; id++)
        events += (await store.readPage(`${type}/${id}`, { limit: perStream })).events.length
      return events
    }
  return { Declared: read('Declared'), Free: read('Free') }
}

async function print(
  figure: string,
  contenders: Record<'Declared' | 'Free', Contender>,
  rounds: number,
): Promise<void> {
  const [declared, free] = await sideBySide(contenders, rounds)
  if (declared === undefined || free === undefined) return
  const us = (rates: readonly number[]) => `${(1e6 / median(rates)).toFixed(1)} µs an event`
  console.log(`| ${figure} | ${us(declared.rates)} | ${us(free.rates)} | ${ratio(declared, free).toFixed(2)} |`)
}
