import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { describe, expect, test } from 'vitest'
import { missingDynamo, newTable, newTableUrl } from '../../test/engines/dynamodb.ts'
import { places } from '../../test/engines/storages.ts'
import { range } from '../conformance/kit.ts'
import { limits } from '../core/limits.ts'
import { call, newStore, place, run, start } from './fixtures/command.ts'

const lines = (...events: readonly object[]) => events.map((event) => `${JSON.stringify(event)}\n`).join('')

/** From a file; what comes by the standard input does just the same. */
async function importing(store: string, text: string | Uint8Array, ...options: readonly string[]) {
  const file = place()
  writeFileSync(file, text)
  return call(store, 'import', file, ...options)
}

describe('append and read', () => {
  test('an event that was appended is read, for people and for scripts', async () => {
    const store = newStore()
    const data = '{"by":"Ann","price":19.99}'
    const appended = await call(
      store,
      'append',
      'seat/1',
      'Reserved',
      data,
      '--tag',
      'vip',
      '--meta',
      '{"a":1}',
      '--expected',
      '0',
    )
    expect(appended).toMatchObject({ code: 0, output: 'seat/1 is at revision 1, position 1\n', errors: '' })
    const json = await call(store, 'append', 'seat/1', 'Freed', '--id', 'my-id', '--json')
    expect(json.json()).toMatchObject([
      { stream: 'seat/1', first: 1 + 1, revision: 2, position: 2, ids: ['my-id'], repeated: false },
    ])
    const again = await call(store, 'append', 'seat/1', 'Freed', '--id', 'my-id')
    expect(again.output).toContain('(it was there already)')
    const read = await call(store, 'read', 'seat/1')
    expect(read.output).toMatch(
      /^ {4}1 {2}\d{4}-.*Z {2}Reserved {2}\{"by":"Ann","price":19.99\}\n {4}2 {2}.* {2}Freed\n$/,
    )
    const scripted = (
      await call(store, 'read', 'seat/1', '--json', '--backwards', '--limit', '1', '--until', '1')
    ).json()
    expect(scripted).toMatchObject([
      { stream: 'seat/1', revision: 1, type: 'Reserved', tags: ['vip'], meta: { a: 1 }, data: JSON.parse(data) },
    ])
  })

  test('data may come from the standard input', async () => {
    const store = newStore()
    expect((await run(store, ['append', 'seat/1', 'Reserved', '-'], '{"by":"Ann"}')).code).toBe(0)
    expect((await call(store, 'read', 'seat/1', '--json')).json()[0].data).toEqual({ by: 'Ann' })
  })

  test('every failure has its exit code, and says what and where', async () => {
    const store = newStore()
    await call(store, 'append', 'seat/1', 'Reserved')
    const fails = async (code: number, error: string, ...args: string[]) => {
      const result = await call(store, ...args)
      expect([result.code, result.output]).toEqual([code, ''])
      expect(result.errors).toContain(error)
    }
    await fails(2, 'stream: "seat" must be a type and an id', 'append', 'seat', 'Reserved')
    await fails(2, 'data: is no JSON', 'append', 'seat/1', 'Reserved', '{nope')
    await fails(2, 'data.a: stands twice', 'append', 'seat/1', 'Reserved', '{"a":1,"a":2}')
    await fails(2, 'unknown option', 'append', 'seat/1', 'Reserved', '--nope')
    await fails(2, 'It must be a revision', 'append', 'seat/1', 'Reserved', '--expected', 'new')
    await fails(2, 'missing required argument', 'read')
    await fails(2, 'must be an instant', 'read', 'seat/1', '--until', 'yesterday')
    await fails(3, 'was expected to be new, and is at revision 1', 'append', 'seat/1', 'Reserved', '--expected', '0')
    await fails(4, 'There is no stream "seat/2"', 'read', 'seat/2')
    await fails(2, '--yes: is missing', 'forget', 'seat/1', '--reason', 'asked')
    const missing = await call(`sqlite:${place('none.db')}`, 'read', 'seat/1')
    expect([missing.code, missing.errors]).toEqual([4, expect.stringContaining('There is no store at')])
    expect(existsSync(place('none.db'))).toBe(false)
    writeFileSync(place('text.db'), 'This is a text, and no database at all. '.repeat(100))
    expect(await call(`sqlite:${place('text.db')}`, 'info')).toMatchObject({
      code: 7,
      errors: expect.stringContaining('is no store of Daybook'),
    })
    expect(await call('mysql:x', 'info')).toMatchObject({
      code: 2,
      errors: expect.stringContaining('write memory:, sqlite:'),
    })
    const json = await call(store, 'append', 'seat/1', 'Reserved', '--expected', '0', '--json')
    expect(JSON.parse(json.errors)).toMatchObject({
      code: 'revision-conflict',
      stream: 'seat/1',
      expected: 0,
      actual: 1,
    })
  })

  test('forgetting leaves the tombstone, closes the stream and reports', async () => {
    const store = newStore()
    await call(store, 'append', 'person/1', 'Told', '"secret"')
    const forgotten = await call(store, 'forget', 'person/1', '--reason', 'asked', '--yes', '--json')
    expect(forgotten.json()).toMatchObject([
      { stream: 'person/1', revision: 2, events: 1, documents: 0, scrub: 'done' },
    ])
    expect((await call(store, 'forget', 'person/1', '--reason', 'asked', '--yes')).output).toContain(
      '1 event and 0 documents erased',
    )
    expect((await call(store, 'read', 'person/1', '--json')).json()).toMatchObject([
      { type: '$forgotten', tombstone: true },
    ])
    expect((await call(store, 'append', 'person/1', 'Told')).code).toBe(5)
    expect((await call(store, 'streams', 'person')).output).toContain('person/1  2  (forgotten)')
  })
})

describe('import and export', () => {
  const events = [
    {
      stream: 'seat/1',
      type: 'Reserved',
      data: { by: 'Ann' },
      meta: { occurredAt: '2026-01-01T00:00:00Z' },
      tags: ['b', 'a'],
    },
    { stream: 'seat/2', type: 'Reserved' },
    {
      stream: 'seat/1',
      type: 'Reserved',
      data: { by: 'Ann' },
      meta: { occurredAt: '2026-01-01T00:00:00Z' },
      tags: ['a', 'b'],
    },
    { stream: 'seat/1', type: 'Freed', id: 'my-own-id', data: null },
  ]

  test('an import that is repeated, or goes on where one stopped, changes nothing that is there', async () => {
    const store = newStore()
    const part = await run(store, ['import', '-', '--json'], lines(...events.slice(0, 2)))
    expect(part.json()).toEqual([{ read: 2, recorded: 2, repeated: 0, skipped: 0 }])
    const file = place('events.ndjson')
    writeFileSync(file, `\n${lines(...events)}\r\n`)
    const whole = await call(store, 'import', file)
    expect(whole).toMatchObject({ code: 0, output: '4 lines read: 2 recorded, 2 there already, 0 refused\n' })
    expect((await call(store, 'import', file)).output).toBe('4 lines read: 0 recorded, 4 there already, 0 refused\n')
    const read = (await call(store, 'read', 'seat/1', '--json')).json()
    expect(read.map(({ type, tags, id }) => [type, tags, id])).toEqual([
      ['Reserved', ['a', 'b'], expect.any(String)],
      ['Reserved', ['a', 'b'], expect.any(String)],
      ['Freed', [], 'my-own-id'],
    ])
    expect(read[0].id).not.toBe(read[1].id)
  })

  test('an export gives the same events back, and imported elsewhere the same ids, revisions, types and data', async () => {
    const [source, target] = [newStore(), newStore()]
    await importing(source, lines(...events))
    const exported = await call(source, 'export')
    expect(exported.errors).toBe('4 events exported; 0 forgotten streams left out\n')
    expect(exported.json().map((event) => Object.keys(event))).toEqual(
      Array(4).fill(['id', 'stream', 'revision', 'position', 'time', 'type', 'data', 'meta', 'tags']),
    )
    await importing(target, exported.output)
    const same = ({ time: _, ...event }: { time: string }) => event
    expect((await call(target, 'export')).json().map(same)).toEqual(exported.json().map(same))
  })

  test('an export leaves forgotten streams out and counts them; to a file it is whole or not there', async () => {
    const store = newStore()
    await importing(store, lines(...events))
    await call(store, 'forget', 'seat/1', '--reason', 'asked', '--yes')
    const file = place('out.ndjson')
    const exported = await call(store, 'export', file, '--json')
    expect(JSON.parse(exported.errors)).toEqual({ events: 1, forgottenStreams: 1 })
    expect(readFileSync(file, 'utf8').trim().split('\n')).toHaveLength(1)
    expect(existsSync(`${file}.part`)).toBe(false)
    expect((await call(store, 'export', '--event-type', 'Never')).output).toBe('')
    expect((await call(store, 'export', '--after', '1', '--until', '2')).json()).toMatchObject([{ stream: 'seat/2' }])
    expect((await call(store, 'export', place('no/such/folder'))).code).toBe(1)
  })

  test.each([
    ['{"stream":"seat/1"}', 'type: is missing'],
    ['{"type":"A"}', 'stream: is missing'],
    ['{"stream":"seat","type":"A"}', 'must be a type and an id'],
    ['{"stream":"seat/1","type":"A","tag":["x"]}', 'tag: is no field of an event'],
    ['{"stream":"seat/1","type":"A","tags":"x"}', 'tags: must be a list of texts'],
    ['{"stream":"seat/1","type":"A","tags":[7]}', 'tags[0]'],
    ['{"stream":"seat/1","type":"A","data":{"x":1,"x":2}}', 'data.x: stands twice'],
    ['{"stream":"seat/1","type":"A","data":9007199254740993}', 'data: is 9007199254740993'],
    ['{"stream":"seat/1","type":"A","data":"\\ud800"}', 'surrogate'],
    ['{"stream":"seat/1","type":"$A"}', 'begins with "$"'],
    ['{"stream":"seat/1","type":"A","id":""}', 'id'],
    ['not JSON', 'line: is no JSON'],
    ['[]', 'line: must be an object'],
    [`"${'x'.repeat(limits.requestBytes)}"`, 'requestBytes'],
    [`{"stream":"seat/1","type":"A","data":"${'x'.repeat(limits.eventBytes)}"}`, 'eventBytes'],
  ])('the line %.60s is refused by its number; what stands before it is recorded', async (bad, reason) => {
    const store = newStore()
    const good = (id: string) => JSON.stringify({ stream: 'seat/9', type: 'Good', id })
    const input = `${good('a')}\n\n${bad}\n${good('b')}\n`
    const stopped = await importing(store, input)
    expect(stopped).toMatchObject({
      code: 2,
      output: expect.stringContaining('1 recorded, 0 there already, 1 refused'),
    })
    expect(stopped.errors).toMatch(/^line 3: /)
    expect(stopped.errors).toContain(reason)
    const skipped = await importing(store, input, '--on-error', 'skip')
    expect(skipped).toMatchObject({ code: 0, output: '3 lines read: 1 recorded, 1 there already, 1 refused\n' })
  })

  test('a line that is no UTF-8 is refused by its number', async () => {
    const bytes = Buffer.concat([Buffer.from('{"stream":"seat/1","type":"'), Buffer.from([0xff]), Buffer.from('"}\n')])
    expect(await importing(newStore(), bytes)).toMatchObject({
      code: 2,
      errors: 'line 1: line: is no UTF-8 text\n',
    })
  })

  test('a line for a forgotten stream, or with the id of another event, is refused by its number', async () => {
    const store = newStore()
    await importing(store, lines(...events))
    await call(store, 'forget', 'seat/2', '--reason', 'asked', '--yes')
    expect((await importing(store, lines({ stream: 'seat/2', type: 'A' }))).errors).toContain(
      'line 1: Stream "seat/2" was forgotten',
    )
    expect((await importing(store, lines({ stream: 'seat/1', type: 'A', id: 'my-own-id' }))).errors).toContain(
      'line 1: Event id "my-own-id" is taken',
    )
  })
})

describe('follow, streams and info', () => {
  test('follow prints what is there and then what comes, until a signal ends it', async () => {
    const store = newStore()
    await call(store, 'append', 'seat/1', 'Reserved')
    const child = start(['follow', '--store', store, '--json'])
    const output = child.stdout.setEncoding('utf8')[Symbol.asyncIterator]()
    expect(JSON.parse((await output.next()).value)).toMatchObject({ position: 1 })
    await call(store, 'append', 'seat/2', 'Reserved')
    expect(JSON.parse((await output.next()).value)).toMatchObject({ position: 2, stream: 'seat/2' })
    child.kill('SIGTERM')
    await once(child, 'exit')
    expect(child.exitCode).toBe(0)
  })

  test('follow ends with what there is if told so, filters, and is quiet when its reader leaves', async () => {
    const store = newStore()
    const many = Array.from({ length: 3_000 }, (_, index) => ({
      stream: `seat/${index}`,
      type: index % 2 ? 'Odd' : 'Even',
      tags: [`t${index}`],
    }))
    await importing(store, lines(...many))
    const odd = await call(store, 'follow', '--once', '--event-type', 'Odd', '--tag', 't7')
    expect(odd.output).toMatch(/^ {6}8 {2}seat\/7 1 {2}.*Odd\n$/)
    expect((await call(store, 'follow', '--once', '--json', '--after', '2990')).json()).toHaveLength(10)
    expect((await call(store, 'follow', '--once', '--after', '3001')).errors).toContain('beyond the head of the log')
    const left = start(['follow', '--store', store])
    left.stdout.once('data', () => left.stdout.destroy())
    const errors = text(left.stderr)
    await once(left, 'exit')
    expect([left.exitCode, await errors]).toEqual([0, ''])
  })

  test('streams lists the types, and the streams of one; info tells what the store is', async () => {
    const store = newStore()
    await call(store, 'append', 'seat/1', 'Reserved')
    await call(store, 'append', 'show/1', 'Opened')
    expect((await call(store, 'streams')).output).toBe('seat\nshow\n')
    expect((await call(store, 'streams', 'seat', '--json')).json()).toMatchObject([
      { stream: 'seat/1', revision: 1, forgotten: false },
    ])
    expect((await call(store, 'streams', 'seat', '--updated-after', '2099-01-01T00:00:00Z')).output).toBe('')
    expect((await call(store, 'info')).output).toMatch(
      /storage +sqlite:.*\nlog +[0-9a-f-]{36}\nhead +2 events\nstream types +seat, show\n/,
    )
    expect((await call(store, 'info', '--json')).json()).toMatchObject([
      { head: 2, streamTypes: ['seat', 'show'], gauges: { fileBytes: expect.any(Number) } },
    ])
  })

  test('help tells every command and the exit codes', async () => {
    const { code, output } = await run(undefined, ['--help'])
    expect(code).toBe(0)
    for (const name of ['serve', 'append', 'read', 'follow', 'streams', 'forget', 'import', 'export', 'info']) {
      expect(output).toContain(`\n  ${name}`)
    }
    expect(output).toContain('Exit codes: 0 done')
    expect((await run(undefined, ['--version'])).output).toMatch(/^\d+\.\d+\.\d+\n$/)
  })
})

describe('serve', () => {
  test('serves the store that the environment names, and stops at a signal with all that was accepted on the disk', async () => {
    const store = newStore()
    const child = start(['serve'], { PORT: '0', DAYBOOK_STORE: store })
    const output = child.stdout.setEncoding('utf8')[Symbol.asyncIterator]()
    const { url } = JSON.parse((await output.next()).value)
    const body = '{"initialEvent":{"eventType":"Reserved","payload":1}}'
    const answers = Array.from({ length: 50 }, () => fetch(`${url}/streams/seat`, { method: 'POST', body }))
    await Promise.race(answers)
    child.kill('SIGTERM')
    const accepted = (await Promise.allSettled(answers)).filter(({ status }) => status === 'fulfilled').length
    await once(child, 'exit')
    expect(child.exitCode).toBe(0)
    expect((await call(store, 'info', '--json')).json()[0].head).toBe(accepted)
  })

  test('refuses to listen beyond this machine, and a store that is none', async () => {
    const beyond = await call('memory:', 'serve', '--host', '0.0.0.0')
    expect(beyond).toMatchObject({
      code: 2,
      errors: expect.stringContaining('there are no access rules: make an API key'),
    })
    expect((await call('memory:', 'serve', '--port', 'http')).code).toBe(2)
    expect((await call('sqlite:', 'serve')).code).toBe(2)
  })
})

for (const { name, missing, next } of places.filter(({ name }) => name !== 'SQLite')) {
  const held = missing === undefined ? test : test.skip
  held(
    `every command works on ${name} as on a file${missing ? ` (${missing})` : ''}`,
    async () => {
      const { url, drop } = await next()
      const events = range(1, 40).map((n) => ({ stream: `seat/${n % 9}`, type: n % 2 ? 'Odd' : 'Even', data: { n } }))
      const imported = await run(url, ['import', '-', '--json'], lines(...events))
      expect(imported.json()).toEqual([{ read: 40, recorded: 40, repeated: 0, skipped: 0 }])
      const again = await importing(url, lines(...events), '--json')
      expect(again.json()).toEqual([{ read: 40, recorded: 0, repeated: 40, skipped: 0 }])
      expect((await call(url, 'append', 'seat/1', 'Freed', '--expected', '5')).output).toMatch(
        /^seat\/1 is at revision 6,/,
      )
      expect((await call(url, 'append', 'seat/1', 'Freed', '--expected', '5')).code).toBe(3)
      const even = await call(url, 'follow', '--once', '--json', '--event-type', 'Even')
      expect(even.json()).toHaveLength(20)
      const exported = (await call(url, 'export')).json()
      expect(exported.map(({ position }) => position)).toEqual(range(1, 41))
      const forgotten = await call(url, 'forget', 'seat/2', '--reason', 'asked', '--yes', '--json')
      expect(forgotten.json()).toMatchObject([{ stream: 'seat/2', events: 5, scrub: 'done' }])
      expect((await call(url, 'read', 'seat/2', '--json')).json()).toMatchObject([{ tombstone: true }])
      const closed = await importing(url, lines({ stream: 'seat/2', type: 'Odd' }))
      expect(closed.errors).toContain('line 1: Stream "seat/2" was forgotten')
      expect((await call(url, 'export')).errors).toBe('36 events exported; 1 forgotten stream left out\n')
      expect((await call(url, 'streams', 'seat', '--json')).json()).toHaveLength(9)
      const following = start(['follow', '--store', url, '--json', '--after', '42'])
      const followed = once(following.stdout.setEncoding('utf8'), 'data')
      expect((await call(url, 'append', 'show/1', 'Opened')).code).toBe(0)
      expect(JSON.parse((await followed)[0])).toMatchObject({ position: 43, stream: 'show/1' })
      following.kill('SIGTERM')
      await once(following, 'exit')
      expect((await call(url, 'info', '--json')).json()).toMatchObject([{ head: 43, streamTypes: ['seat', 'show'] }])
      const [{ token }] = (await call(url, 'keys', 'add', 'me', '--scope', '*', '--json')).json()
      const child = start(['serve', '--port', '0', '--store', url])
      const { url: server } = JSON.parse((await child.stdout.setEncoding('utf8')[Symbol.asyncIterator]().next()).value)
      const answer = await fetch(`${server}/streams/seat/3`, { headers: { authorization: `Bearer ${token}` } })
      expect(await answer.json()).toMatchObject({ events: [{ type: 'Odd' }, {}, {}, {}, {}] })
      const post = async (type: string) => {
        const headers = { authorization: `Bearer ${token}`, 'idempotency-key': 'try-1' }
        const body = JSON.stringify({ events: [{ type }, { type: 'Paid' }] })
        const { status } = await fetch(`${server}/streams/seat/10/events`, { method: 'POST', headers, body })
        return status
      }
      expect([await post('Reserved'), await post('Reserved'), await post('Other')]).toEqual([201, 201, 422])
      child.kill('SIGTERM')
      await once(child, 'exit')
      await drop()
    },
    180_000,
  )
}

describe.skipIf(missingDynamo() !== undefined)('table', () => {
  test('create makes the table once, with its boundary tags for good', async () => {
    const url = newTableUrl()
    const table = url.slice('dynamodb:'.length, url.indexOf('?'))
    expect((await call(undefined, 'append', 'seat/1', 'Reserved', '--store', url)).code).toBe(4)
    const made = await call(undefined, 'table', 'create', url, '--boundary-tags', 'seat:,course:')
    expect(made).toMatchObject({ code: 0, output: `${table} was made\n`, errors: '' })
    const again = ['table', 'create', '--store', url, '--boundary-tags', 'course:, seat:']
    expect((await call(undefined, ...again)).output).toBe(`${table} is there already\n`)
    expect((await call(undefined, ...again, '--json')).json()).toEqual([{ table, outcome: 'there' }])
    const other = await call(undefined, 'table', 'create', url)
    expect(other).toMatchObject({ code: 2, errors: expect.stringContaining('("course:", "seat:"), and keeps them') })
  })

  test('sweep gives positions to what has none, and says to how many', async () => {
    const { url } = await newTable()
    const append = ['append', 'seat/1', 'Reserved', '--store', `${url}&sequencer=elsewhere`]
    for (const _ of range(1, 2)) expect((await call(undefined, ...append)).output).toContain('position not known yet')
    expect((await call(url, 'info', '--json')).json()).toMatchObject([{ head: 0 }])
    const swept = await call(undefined, 'table', 'sweep', url)
    expect(swept).toMatchObject({ code: 0, errors: '' })
    expect(swept.output).toMatch(/^\d+ items looked at: 2 records got a position\n$/)
    expect((await call(url, 'info', '--json')).json()).toMatchObject([{ head: 2 }])
    expect((await call(url, 'table', 'sweep', '--json')).json()).toMatchObject([{ positioned: 0 }])
  })

  test('what is no table is refused', async () => {
    const refused = async (code: number, error: string, ...args: string[]) => {
      expect(await call(undefined, ...args)).toMatchObject({ code, output: '', errors: expect.stringContaining(error) })
    }
    await refused(2, 'is no table of DynamoDB', 'table', 'create', 'sqlite:seats.db')
    await refused(2, '"regoin" is no setting', 'table', 'create', 'dynamodb:seats?regoin=x')
    await refused(2, 'must be a beginning of tags', 'table', 'create', newTableUrl(), '--boundary-tags', 'seat:,')
    await refused(4, 'There is no store at dynamodb:t-', 'table', 'sweep', newTableUrl())
  })
})
