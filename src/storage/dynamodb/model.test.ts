/**
 * The two hard protocols under schedules in which everything goes wrong that can: claim and append, and sequencing. The
 * same models run far longer in `test/long`. Protocols that are broken on purpose show that they find what they look for.
 */
import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import type { PreparedEvent } from '../../core/storage.ts'
import { commitOne } from './commit.ts'
import { erase } from './erase.ts'
import { modelAppends } from './fixtures/append-model.ts'
import { madeEvent, modelSession } from './fixtures/model-session.ts'
import { appendMutations, type Mutation, sequenceMutations } from './fixtures/mutation.ts'
import { createSchedule } from './fixtures/schedule.ts'
import { createStore } from './fixtures/scripted-table.ts'
import { modelSequencing } from './fixtures/sequence-model.ts'
import { readStream } from './read.ts'
import type { Session } from './session.ts'

type Model = (seed: number, mutation?: Mutation) => Promise<void>

/** Each broken protocol is found within as many schedules. */
const mostSchedules = 2_000

async function holds(model: Model, schedules: number): Promise<void> {
  for (let seed = 1; seed <= schedules; seed++) await model(seed)
}

/** What is found, and after how many schedules. */
async function find(model: Model, mutation: Mutation): Promise<string> {
  for (let seed = 1; seed <= mostSchedules; seed++) {
    try {
      await model(seed, mutation)
    } catch (error) {
      return (error as Error).message
    }
  }
  return 'nothing'
}

describe('claim and append', () => {
  test('hold in 1,000 schedules: no gap, no duplicate, no false answer', () => holds(modelAppends, 1_000))

  test.each(Object.entries(appendMutations))('are found to be broken where %s', async (_, mutation) => {
    expect(await find(modelAppends, mutation)).toMatch(/^seed \d+: /)
  })
})

describe('sequencing', () => {
  test('holds in 400 schedules: no gap, no duplicate, no order broken', () => holds(modelSequencing, 400))

  test.each(Object.entries(sequenceMutations))('is found to be broken where %s', async (_, mutation) => {
    expect(await find(modelSequencing, mutation)).toMatch(/^seed \d+: /)
  })
})

test('an event in many chunks is read whole while it comes into sight, and while it is emptied', async () => {
  const data = createHash('shake256', { outputLength: 330_000 }).digest('base64')
  const { type, ...made } = madeEvent('e1', { contentBytes: 450_000 })
  const event: PreparedEvent = { ...made, type, content: JSON.stringify(['e1', type, [], data, null]) }
  for (let seed = 1; seed <= 20; seed++) {
    const schedule = createSchedule(seed, { troubled: false })
    const store = createStore(schedule, { wrote() {} })
    const begin = (name: string, run: (session: Session) => Promise<unknown>) =>
      schedule.start(name, async (actor) => {
        await run(modelSession({ table: store.tableOf(actor), clock: () => schedule.now }))
      })
    begin('writer', async (session) => {
      await commitOne(session, { id: 'commit', appends: [{ stream: 'a/1', expected: 0, events: [event] }] })
      await erase(session, { erase: 'trim', stream: 'a/1', from: 1, to: 1, segment: 'segment' })
    })
    begin('reader', async (session) => {
      for (;;) {
        const { records } = await readStream(session, 'a/1', { after: 0, direction: 'forwards', limit: 1 })
        const [record] = records
        if (record?.state === 'trimmed') return
        if (record) expect(record.state === 'stored' && record.content === event.content).toBe(true)
      }
    })
    await schedule.run()
  }
})
