import { describe, expect, test, vi } from 'vitest'
import { open } from '../open.ts'
import { begin, fixture, newStore, run } from './fixtures/command.ts'

const shop = fixture('shop.ts')

/** Until it is so; only against hanging. */
const eventually = (look: () => unknown) => vi.waitFor(look, { timeout: 30_000, interval: 50 })

const customer = (name: string, city = 'Bern') => ['Registered', JSON.stringify({ name, city })]

describe('serve --app', () => {
  test('keeps the views, hands events to consumers, runs jobs and schedules, and ends at a signal', async () => {
    const url = newStore()
    const server = await begin(['serve', '--port', '0', '--store', url], { DAYBOOK_APP: shop })
    const post = (stream: string, name: string) => {
      const body = JSON.stringify({ events: [{ type: 'Registered', data: { name, city: 'Bern' } }] })
      return fetch(`${server.url}/streams/${stream}/events`, { method: 'POST', body })
    }
    expect((await post('customer/1', 'Ann')).status).toBe(201)
    expect((await post('customer/2', 'Nobody')).status).toBe(201)
    const moved = JSON.stringify({ events: [{ type: 'Moved', data: { city: 'Nowhere' } }] })
    await fetch(`${server.url}/streams/customer/2/events`, { method: 'POST', body: moved })
    await using store = await open(url, { readOnly: true })
    await eventually(async () => {
      const greeted = []
      for await (const event of store.readLog({ types: ['Greeted'] })) if (!event.forgotten) greeted.push(event.data)
      expect(greeted).toEqual(expect.arrayContaining(['Ann', 'everybody']))
      const [movers] = (await store.projections.list()).filter(({ name }) => name === 'movers')
      expect(movers).toMatchObject({ lag: 0 })
    })
    await eventually(() => {
      const failed = { level: 40, consumer: 'welcome', stream: 'customer/2', revision: 1, msg: 'handler failed' }
      expect(server.lines()).toContainEqual(expect.objectContaining(failed))
      const view = {
        projection: 'movers',
        version: 1,
        key: '2',
        stream: 'customer/2',
        revision: 2,
        msg: 'view is parked',
      }
      expect(server.lines()).toContainEqual(expect.objectContaining(view))
    })
    expect(await server.stop()).toBe(0)
    expect(server.lines().at(-1)).toMatchObject({ msg: 'stopped' })
    for (const { held } of await store.consumers.list()) expect(held).toBeUndefined()
    expect((await run(url, ['views', 'get', 'movers', '1', '--app', shop, '--json'])).json()).toEqual([
      { name: 'Ann', city: 'Bern' },
    ])
  })

  test('only serves where it is told so, and "work" does the rest apart, until a signal', async () => {
    const url = newStore()
    const server = await begin(['serve', '--port', '0', '--store', url, '--app', shop, '--no-workers'])
    await run(url, ['append', 'customer/1', ...customer('Ann'), '--app', shop])
    await using store = await open(url, { readOnly: true })
    expect(await store.consumers.list()).toEqual([])
    const worker = await begin(['work', '--store', url, '--app', shop])
    expect(worker.lines()[0]).toMatchObject({
      msg: 'working',
      projections: ['customers', 'movers', 'cities'],
      consumers: ['welcome'],
      jobs: ['greet'],
    })
    await eventually(async () => expect(await store.details('greeting/customer-1')).toBeDefined())
    expect(await worker.stop()).toBe(0)
    expect(await server.stop()).toBe(0)
  })

  test('a definition that clashes with what is stored ends it before anything runs', async () => {
    const url = newStore()
    {
      await using store = await open(url)
      await (await store.consumers.run({ name: 'welcome', types: ['Other'], handler: async () => {} })).stop()
    }
    const clash = await run(url, ['work', '--app', shop])
    expect(clash).toMatchObject({ code: 3, output: '' })
    expect(clash.errors).toContain('consumer "welcome"')
    expect(clash.errors).toContain('give it another name, or remove the stored one')
  })
})

test('a store whose views an application keeps is written to with its definitions, and else is left as it is', async () => {
  const url = newStore()
  expect((await run(url, ['append', 'customer/1', ...customer('Ann'), '--app', shop])).code).toBe(0)
  const refused = await run(url, ['append', 'customer/2', ...customer('Bob')])
  expect(refused).toMatchObject({ code: 1, output: '' })
  expect(refused.errors).toContain('name its file by --app')
  expect((await run(url, ['forget', 'customer/1', '--reason', 'asked', '--yes'])).code).toBe(1)
  expect((await run(url, ['streams', 'customer'])).output).toMatch(/customer\/1 {2}1\n$/)
})
