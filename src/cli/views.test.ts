import { beforeAll, describe, expect, test } from 'vitest'
import { open } from '../open.ts'
import { call, fixture, newStore } from './fixtures/command.ts'
import shop from './fixtures/shop.ts'

const file = fixture('shop.ts')
const url = newStore()
const views = (...args: string[]) => call(url, 'views', ...args, '--app', file)
const cursorIn = (errors: string) => /--cursor '(.*)'/.exec(errors)?.[1] ?? ''

beforeAll(async () => {
  await using store = await open(url, { ...shop })
  const people = [
    { name: 'Ann', city: 'Bern', age: 30 },
    { name: 'Bob', city: 'Bern', age: 41 },
    { name: 'Cid', city: '5000' },
    { name: 'Dan Lee', city: 'Bern' },
  ]
  for (const [index, data] of people.entries()) {
    await store.append(`customer/${index + 1}`, [{ type: 'Registered', data }])
  }
  await store.append('customer/4', [{ type: 'Left', data: null }])
})

describe('views', () => {
  test('get prints a view as it is, as it was, and once it holds an event', async () => {
    expect(await views('get', 'customers', '1')).toMatchObject({
      code: 0,
      output: '{\n  "age": 30,\n  "city": "Bern",\n  "name": "Ann"\n}\n',
    })
    const after = await views('get', 'customers', '2', '--after', 'customer/2@1', '--json')
    expect(after.output).toBe('{"age":41,"city":"Bern","name":"Bob"}\n')
    expect(await views('get', 'customers', '4')).toMatchObject({
      code: 4,
      output: '',
      errors: 'There is no view "4" of "customers"\n',
    })
    expect((await views('get', 'customers', '4', '--at', '1', '--json')).json()).toEqual([
      { name: 'Dan Lee', city: 'Bern' },
    ])
    expect((await views('get', 'latest', '3', '--json')).json()).toEqual([{ name: 'Cid', city: '5000' }])
  })

  test('query prints pages of an index, and search those that hold the words', async () => {
    const first = await views('query', 'customers', '--equals', 'city=Bern', '--limit', '1')
    expect(first).toMatchObject({ code: 0, output: '1  {"age":30,"city":"Bern","name":"Ann"}\n' })
    const more = ['query', 'customers', '--equals', 'city=Bern', '--cursor', cursorIn(first.errors), '--json']
    const next = await views(...more)
    expect(next.json()).toEqual([{ views: [{ id: '2', view: { name: 'Bob', city: 'Bern', age: 41 } }] }])
    const bob = ['--index', 'by-city', '--equals', 'city=Bern', '--from', 'B', '--to', 'Bz', '--backwards']
    expect((await views('query', 'customers', ...bob)).output).toMatch(/^2 {2}.*\n$/)
    const number = await views('query', 'customers', '--equals', 'age=41')
    expect(number.output).toMatch(/^2 {2}.*\n$/)
    const text = await views('query', 'customers', '--index', 'by-city', '--equals', 'city="5000"')
    expect(text.output).toMatch(/^3 {2}.*\n$/)
    expect((await views('search', 'customers', 'an')).output).toMatch(/^1 {2}.*\n$/)
  })

  test.each<[number, string, ...string[]]>([
    [4, 'There is no projection "nobody"; the store was opened with: customers', 'get', 'nobody', '1'],
    [2, 'index: view "customers" has no index "by-size"', 'query', 'customers', '--index', 'by-size'],
    [2, 'equals.size: no index of view "customers" is by this field', 'query', 'customers', '--equals', 'size=1'],
    [2, 'no index serves the query (declared: by-city by city, ordered by name', 'query', 'customers'],
    [2, 'It must be a field and its value', 'query', 'customers', '--equals', 'city'],
    [2, 'begin without one', 'query', 'customers', '--equals', 'city=Bern', '--cursor', 'abc~def'],
    [2, 'view "movers": declares no search', 'search', 'movers', 'ann'],
    [2, 'at: 2999-01-01T00:00:00.000Z is yet to come', 'get', 'customers', '1', '--at', '2999-01-01T00:00:00Z'],
    [2, 'is before the first event', 'get', 'customers', '1', '--at', '1999-01-01T00:00:00Z'],
    [2, 'after: "customer/1" has no revision 9', 'get', 'movers', '1', '--after', 'customer/1@9'],
    [2, 'It must be a stream and a revision', 'get', 'customers', '1', '--after', 'customer/1'],
    [6, 'has not got to revision 1', 'get', 'movers', '1', '--after', 'customer/1@1', '--timeout-ms', '20'],
  ])('what cannot be read is told with exit code %i: %s', async (code, error, ...args) => {
    const refused = await views(...args)
    expect(refused).toMatchObject({ code, output: '', errors: expect.stringContaining(error) })
  })
})

describe('replay', () => {
  const replay = (...args: string[]) => call(url, 'replay', ...args, '--app', file)

  test('lays views as they were beside those in use, where they are read, listed and dropped', async () => {
    expect(await replay('customers', '4', '--at', '1', '--as', 'once')).toMatchObject({
      code: 0,
      output: '1 view to be read as customers~once\n',
    })
    expect((await views('query', 'customers~once', '--equals', 'city=Bern')).output).toMatch(/^4 .*Dan Lee/)
    expect((await views('get', 'customers', '4')).code).toBe(4)
    const listed = await call(url, 'replays', 'list', 'customers')
    expect(listed.output).toBe('customers~once  version 1  done  1 view  4 at 1\n')
    expect((await replay('customers', '--as', 'all', '--json')).json()).toEqual([{ view: 'customers~all', views: 4 }])
    expect((await call(url, 'replays', 'drop', 'customers', 'once', '--app', file)).code).toBe(0)
    expect((await views('get', 'customers~once', '4')).code).toBe(4)
  })

  test('puts one view back to what it was', async () => {
    expect((await replay('customers', '4', '--at', '1')).output).toBe('1 view to be read as customers\n')
    expect((await views('get', 'customers', '4', '--json')).json()).toEqual([{ name: 'Dan Lee', city: 'Bern' }])
    expect((await replay('customers', '4')).code).toBe(0)
    expect((await views('get', 'customers', '4')).code).toBe(4)
  })

  test.each<[number, string, ...string[]]>([
    [2, 'id: is needed', 'customers'],
    [2, 'is before the first event of the log', 'customers', '--at', '1999-01-01T00:00:00Z', '--as', 'x'],
    [2, 'is yet to come', 'customers', '1', '--at', '2999-01-01T00:00:00Z', '--as', 'x'],
    [2, 'must be of A-Z a-z 0-9', 'customers', '--as', 'a b'],
    [4, 'There is no projection "nobody"', 'nobody', '1'],
  ])('what makes no sense is refused with exit code %i: %s', async (code, error, ...args) => {
    expect(await replay(...args)).toMatchObject({ code, output: '', errors: expect.stringContaining(error) })
    expect((await call(url, 'replays', 'list', 'customers', '--json')).output).not.toContain('"label":"x"')
  })
})
