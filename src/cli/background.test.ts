import { writeFileSync } from 'node:fs'
import pino from 'pino'
import { describe, expect, test, vi } from 'vitest'
import { startWorkers } from '../hosts/workers.ts'
import { open } from '../open.ts'
import { call, fixture, newStore, place } from './fixtures/command.ts'
import shop from './fixtures/shop.ts'

const file = fixture('shop.ts')

async function refused(url: string, code: number, error: string, ...args: string[]): Promise<void> {
  expect(await call(url, ...args)).toMatchObject({ code, output: '', errors: expect.stringContaining(error) })
}

describe('consumers', () => {
  /** One of whose two streams is parked. */
  async function consumed(): Promise<string> {
    const url = newStore()
    await using store = await open(url, { ...shop })
    for (const [index, name] of ['Ann', 'Nobody'].entries()) {
      const data = { name, city: 'Bern' }
      await store.append(`customer/${index + 1}`, [{ type: 'Registered', data }])
    }
    const [welcome] = shop.consumers?.(store) ?? []
    const consumer = await store.consumers.run({
      name: 'welcome',
      ...welcome,
      handler: async (event) => {
        await welcome?.handler(event, { tries: 1, signal: AbortSignal.abort() })
      },
    })
    await consumer.whenCaughtUp()
    return url
  }

  test('are listed with how far they are, and with what is parked, which is asked for again', async () => {
    const url = await consumed()
    const listed = await call(url, 'consumers', 'list')
    expect(listed).toMatchObject({ code: 0, errors: '1 consumer\n' })
    expect(listed.output).toMatch(/^welcome +idle +position \d +lag 0 +1 parked\n$/)
    const status = await call(url, 'consumers', 'status', 'welcome')
    expect(status.output).toMatch(/^consumer +welcome\nstate +idle\nposition +\d of \d, lag 0\nparked +1\n/)
    const parked = await call(url, 'consumers', 'parked', 'welcome')
    expect(parked.output).toMatch(/^customer\/2@1 +position 2 +1 try +Error: who is that\?\n$/)
    const asked = await call(url, 'consumers', 'replay-parked', 'welcome', 'customer/2')
    expect(asked.output).toBe('1 stream to be handled again\n')
    expect((await call(url, 'consumers', 'replay-parked', 'welcome', 'customer/1', '--json')).json()).toEqual([
      { asked: 0 },
    ])
    expect((await call(url, 'consumers', 'parked', 'welcome')).output).toContain('to be replayed')
  })

  test('are paused, resumed, reset to a place, and removed', async () => {
    const url = await consumed()
    expect((await call(url, 'consumers', 'pause', 'welcome')).output).toMatch(/^welcome is paused\n.*\nstate +paused\n/)
    const resumed = await call(url, 'consumers', 'resume', 'welcome', '--json')
    expect(resumed.json()).toMatchObject([{ name: 'welcome', state: 'idle' }])
    const reset = await call(url, 'consumers', 'reset', 'welcome', '--from', '1', '--json')
    expect(reset.json()).toMatchObject([{ position: 1, parked: 0 }])
    await refused(url, 2, 'beyond', 'consumers', 'reset', 'welcome', '--from', '99')
    await refused(url, 2, 'It must be "start", "now" or a position', 'consumers', 'reset', 'welcome', '--from', 'here')
    expect((await call(url, 'consumers', 'status', 'welcome', '--json')).json()).toMatchObject([{ position: 1 }])
    expect((await call(url, 'consumers', 'remove', 'welcome')).output).toBe('welcome is removed\n')
    for (const what of ['status', 'pause', 'resume', 'parked', 'replay-parked', 'remove']) {
      await refused(url, 4, 'There is no consumer "welcome"', 'consumers', what, 'welcome')
    }
  })
})

describe('jobs and schedules', () => {
  test('are added once, listed by state, tried again, and removed', async () => {
    const url = newStore()
    const add = ['jobs', 'add', 'greet', '"fail"', '--key', 'k', '--tries', '1']
    expect((await call(url, ...add)).output).toBe('greet/k is waiting\n')
    expect((await call(url, ...add)).output).toBe('greet/k is waiting (it was there already)\n')
    await refused(url, 3, '"greet/k" is waiting', 'jobs', 'retry', 'greet/k')
    await call(url, 'jobs', 'add', 'greet', '--at', '2999-01-01T00:00:00Z', '--key', 'later')
    {
      await using store = await open(url, { ...shop })
      const { jobs } = shop
      await startWorkers({ store, app: { ...(jobs && { jobs }) }, logger: pino({ level: 'silent' }) })
      await vi.waitFor(async () => expect(await store.jobs.get('greet/k')).toMatchObject({ state: 'parked' }), {
        timeout: 30_000,
      })
    }
    const parked = await call(url, 'jobs', 'list', '--state', 'parked')
    expect(parked.output).toBe('greet/k  parked  try 1 of 1    Error: nobody is to be greeted\n')
    const first = await call(url, 'jobs', 'list', '--kind', 'greet', '--limit', '1')
    const cursor = /--cursor '(.*)'/.exec(first.errors)?.[1] ?? ''
    const rest = (await call(url, 'jobs', 'list', '--kind', 'greet', '--cursor', cursor, '--json')).json()
    expect(rest).toMatchObject([{ jobs: [{ id: 'greet/later', dueAt: '2999-01-01T00:00:00.000Z' }] }])
    expect((await call(url, 'jobs', 'get', 'greet/k')).output).toMatch(
      /^job +greet\/k\nstate +parked\ntries +1 of 1\nadded .*\ninput +"fail"\nerror +Error: nobody is to be greeted\n$/,
    )
    expect((await call(url, 'jobs', 'retry', 'greet/k')).output).toBe('greet/k is waiting\n')
    expect((await call(url, 'jobs', 'remove', 'greet/k')).output).toBe('greet/k is removed\n')
    for (const what of ['get', 'retry', 'remove']) await refused(url, 4, 'no job "greet/k"', 'jobs', what, 'greet/k')
    await refused(url, 2, 'Allowed choices are parked, running, waiting, done', 'jobs', 'list', '--state', 'lost')
    await refused(url, 2, 'cursor: is none that a page of this query gave', 'jobs', 'list', '--cursor', 'x')
    await refused(url, 2, 'input: is no JSON', 'jobs', 'add', 'greet', '{')
    await refused(url, 2, 'tries: must be 1 to 100', 'jobs', 'add', 'greet', '--tries', '0')
  })

  test('schedules are set, listed and removed', async () => {
    const url = newStore()
    const nightly = [
      'schedules',
      'set',
      'nightly',
      '--cron',
      '30 2 * * *',
      '--kind',
      'report',
      '--input',
      '{"all":true}',
    ]
    expect((await call(url, ...nightly)).output).toMatch(/^nightly is due next at .*T02:30:00.000Z\n$/)
    const listed = await call(url, 'schedules', 'list', '--json')
    expect(listed.json()).toMatchObject([{ name: 'nightly', cron: '30 2 * * *', kind: 'report', input: { all: true } }])
    await refused(url, 2, 'cron: must be a pattern', 'schedules', 'set', 's', '--cron', '61 * * * *', '--kind', 'k')
    expect((await call(url, 'schedules', 'remove', 'nightly')).output).toBe('nightly is removed\n')
    expect(await call(url, 'schedules', 'list')).toMatchObject({ output: '', errors: '0 schedules\n' })
  })
})

test('snapshots are taken of a stream or of a type, listed and dropped', async () => {
  const url = newStore()
  for (const id of ['1', '2']) await call(url, 'append', `meter/${id}`, 'Read', '--app', file)
  const take = (...args: string[]) => call(url, 'snapshots', 'take', ...args, '--app', file)
  expect((await take('counter', 'meter/1')).output).toMatch(/^meter\/1 at revision 1: \d+ bytes\n$/)
  expect((await take('counter', '--stream-type', 'meter')).output).toBe('2 streams looked at: 1 snapshot taken\n')
  const listed = await call(url, 'snapshots', 'list', '--decider', 'counter')
  expect(listed.output.split('\n').sort()).toEqual([
    '',
    expect.stringMatching(/^counter {2}version 1 {2}meter\/1 {2}revision 1 {2}.* bytes$/),
    expect.stringMatching(/^counter {2}version 1 {2}meter\/2 /),
  ])
  await refused(url, 2, 'must name a stream or a decider', 'snapshots', 'list')
  await refused(url, 2, '(there: counter)', 'snapshots', 'take', 'nobody', 'meter/1', '--app', file)
  await refused(url, 2, 'stream: or --stream-type must be given', 'snapshots', 'take', 'counter', '--app', file)
  await refused(url, 4, 'There is no stream "meter/3"', 'snapshots', 'take', 'counter', 'meter/3', '--app', file)
  expect((await call(url, 'snapshots', 'drop', 'counter', '--json')).json()).toEqual([{ dropped: 2 }])
  expect((await call(url, 'snapshots', 'list', '--stream', 'meter/1')).output).toBe('')
})

test('event types are declared from a file, hold for every writer, and are retired', async () => {
  const url = newStore()
  const declare = (content: unknown) => {
    const declaration = place(`${crypto.randomUUID()}.json`)
    writeFileSync(declaration, typeof content === 'string' ? content : JSON.stringify(content))
    return ['event-types', 'declare', declaration]
  }
  const schema = { type: 'object', required: ['by'] }
  const types = [
    { type: 'Reserved', version: 1, schema, description: 'A seat is taken' },
    { type: 'Freed', version: 1, schema: true },
  ]
  for (const _ of [1, 2]) {
    const declared = await call(url, ...declare(types))
    expect(declared.output).toBe('Reserved is at version 1\nFreed is at version 1\n')
  }
  expect((await call(url, 'event-types', 'list')).output).toBe(
    'Freed     version 1\nReserved  version 1  A seat is taken\n',
  )
  await refused(url, 2, "data: must have required property 'by'", 'append', 'seat/1', 'Reserved', '{}')
  await refused(url, 3, 'event type "Reserved", version 1,', ...declare({ ...types[0], schema: true }))
  await refused(url, 2, 'version: must be 2, the next of "Reserved"', ...declare({ ...types[0], version: 7 }))
  await refused(url, 2, 'is no JSON', ...declare('{'))
  await refused(url, 2, 'declaration: must be an object', ...declare('7'))
  expect((await call(url, 'event-types', 'get', 'Reserved', '--json')).json()).toMatchObject([
    { type: 'Reserved', version: 1, retired: false, versions: [{ schema }] },
  ])
  await refused(url, 4, 'event type "Lost"', 'event-types', 'get', 'Lost')
  expect((await call(url, 'event-types', 'retire', 'Freed')).output).toBe(
    'Freed is retired: 1 version can still be read\n',
  )
  await refused(url, 2, 'is retired', 'append', 'seat/1', 'Freed')
})
