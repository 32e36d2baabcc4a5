/** The archive by the command line, and by the workers of several processes. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { range } from '../conformance/kit.ts'
import { until } from '../conformance/store/kit.ts'
import { openStore } from '../core/store.ts'
import { folderObjects } from '../objects/folder.ts'
import { openStorage } from '../open.ts'
import { begin, call, newStore, place } from './fixtures/command.ts'

const keepOne = '{"order":{"keepEvents":1}}'

async function filled(events = 5) {
  const store = newStore()
  for (const event of range(1, events)) await call(store, 'append', 'order/1', `Step${event}`)
  return { store, archive: place() }
}

describe('daybook archive', () => {
  test('plans, moves, lists and verifies; reading wants the place, and says so', async () => {
    const { store, archive } = await filled()
    const there = ['--archive', archive]
    const before = (await call(store, 'read', 'order/1')).output
    expect((await call(store, 'archive', 'plan', ...there, '--retention', keepOne, '--json')).json()).toMatchObject([
      { streamType: 'order', events: 4 },
    ])
    const dry = await call(store, 'archive', 'run', ...there, '--retention', keepOne, '--dry-run')
    expect(dry.output).toMatch(/^order {2}4 events would go/)
    expect((await call(store, 'archive', 'list', 'order', ...there)).errors).toBe('0 segments\n')
    const run = await call(store, 'archive', 'run', ...there, '--retention', keepOne)
    expect(run.output).toBe('order  4 events moved  1 segment\n')
    expect((await call(store, 'archive', 'list', 'order', ...there)).output).toMatch(
      /trimmed {2}positions 1 to 4 {2}4 ev/,
    )
    expect((await call(store, 'archive', 'verify', ...there)).errors).toBe('1 segment of 4 events: all whole\n')
    expect((await call(store, 'read', 'order/1', ...there)).output).toBe(before)
    expect((await call(store, 'export', ...there)).json()).toHaveLength(5)
    expect(await call(store, 'read', 'order/1')).toMatchObject({ code: 1, errors: expect.stringContaining('archive') })
    expect((await call(store, 'archive', 'run')).errors).toContain('--archive: is needed')
  })

  test('takes policies and places of the application, and refuses what is none', async () => {
    const { store, archive } = await filled()
    const folder = place()
    mkdirSync(folder)
    const app = join(folder, 'app.ts')
    writeFileSync(app, `export default { retention: ${keepOne}, places: { archive: ${JSON.stringify(archive)} } }`)
    expect((await call(store, 'archive', 'run', '--app', app, '--json')).json()).toEqual([
      { streamType: 'order', events: 4, segments: 1 },
    ])
    expect((await call(store, 'read', 'order/1', '--archive', archive)).code).toBe(0)
    for (const wrong of ['{"order":{}}', '{"order":{"keepDays":-1}}', '[]']) {
      const { code, errors } = await call(store, 'archive', 'plan', '--archive', archive, '--retention', wrong)
      expect([code, errors]).toEqual([2, expect.stringContaining('--retention')])
    }
    writeFileSync(join(folder, 'wrong.ts'), 'export default { places: { archives: "x" } }')
    const { errors } = await call(store, 'archive', 'plan', '--app', join(folder, 'wrong.ts'))
    expect(errors).toContain('app.places.archives: is none; there are archive, backups, states')
  })

  test('names the segment that is damaged, with its place', async () => {
    const { store, archive } = await filled()
    const options = ['--archive', archive]
    await call(store, 'archive', 'run', ...options, '--retention', keepOne)
    const [{ id }] = (await call(store, 'archive', 'list', 'order', ...options, '--json')).json()[0].segments
    const key = `segments/order/${id}.ndjson.gz`
    writeFileSync(join(archive, key), 'no segment')
    const verified = await call(store, 'archive', 'verify', ...options)
    expect([verified.code, verified.output]).toEqual([1, expect.stringContaining(`damaged  ${key}  its SHA-256 is`)])
    expect(await call(store, 'read', 'order/1', ...options)).toMatchObject({
      code: 1,
      errors: expect.stringContaining(`"${key}" in folder ${archive}`),
    })
  })
})

test('state snapshots are taken, listed, restored and pruned by the command line', async () => {
  const { store } = await filled()
  const [folder, states] = [place(), place()]
  mkdirSync(folder)
  const app = join(folder, 'app.ts')
  writeFileSync(
    app,
    `const step = (view = { steps: 0 }) => ({ steps: view.steps + 1 })
    export default { projections: [
      { name: 'orders', lifecycle: 'async', streamTypes: ['order'], on: { Step1: step, Step5: step } },
      { name: 'kinds', lifecycle: 'inline', key: ({ type }) => type, holds: 'totals', on: { Step1: step } },
    ] }`,
  )
  const options = ['--app', app, '--states', states]
  await call(store, 'projections', 'rebuild', 'orders', '--app', app)
  await call(store, 'projections', 'rebuild', 'kinds', '--app', app)
  const taken = await call(store, 'states', 'take', ...options)
  expect(taken.output).toBe(
    'state snapshot 1 is taken at position 5: 1 view of 1 projection\nleft out  kinds  it is of inline totals by a key\n',
  )
  const restored = await call(store, 'states', 'restore', ...options)
  expect(restored.output).toBe('orders, version 1: 1 view put back, caught up from 5\n')
  expect((await call(store, 'views', 'get', 'orders', '1', '--app', app, '--json')).json()).toMatchObject([
    { steps: 2 },
  ])
  expect((await call(store, 'states', 'list', '--states', states)).output).toMatch(
    /^1 {2}\S+Z {2}position 5 {2}orders@1 \(1\)/,
  )
  await call(store, 'states', 'take', ...options)
  expect((await call(store, 'states', 'prune', '--keep', '1', ...options)).output).toBe('1 state snapshot deleted\n')
  expect((await call(store, 'states', 'take')).errors).toContain('--states: is needed')
})

test('workers of two processes archive by schedule, and each event goes once', async () => {
  const { store, archive } = await filled()
  const options = ['--store', store, '--archive', archive, '--retention', keepOne, '--port', '0']
  const servers = [await begin(['serve', ...options]), await begin(['serve', ...options])]
  const { schedules } = (await (await fetch(`${servers[0]?.url}/schedules`)).json()) as { schedules: unknown[] }
  expect(schedules).toMatchObject([{ name: '$archive', cron: '0 3 * * *', kind: '$archive' }])
  // Due now, and asked for on both sides at once.
  const ask = (url = '') => fetch(`${url}/archive/run`, { method: 'POST' }).then((response) => response.json())
  const add = fetch(`${servers[1]?.url}/jobs`, {
    method: 'POST',
    body: JSON.stringify({ kind: '$archive', key: 'now' }),
  })
  const answers = (await Promise.all(servers.map(({ url }) => ask(url)))) as { reports: { events: number }[] }[]
  await add
  await until(async () => (await (await fetch(`${servers[0]?.url}/jobs?state=done`)).text()).includes('"now"'))
  for (const server of servers) expect(await server.stop()).toBe(0)
  const storage = await openStorage(store)
  await using opened = await openStore(storage, { archive: { objects: folderObjects(archive) } })
  const { segments, events, unknown } = await opened.archive.verify()
  expect({ segments, events, unknown }).toEqual({ segments: 1, events: 4, unknown: [] })
  expect(answers.reduce((sum, { reports }) => sum + (reports[0]?.events ?? 0), 0)).toBeLessThanOrEqual(4)
  expect((await opened.readPage('order/1')).events).toHaveLength(5)
})
