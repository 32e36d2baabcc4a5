/** Events move from store to store by export and import, and arrive as they were; forgotten streams stay behind. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { range } from '../src/conformance/kit.ts'
import { collect, until } from '../src/conformance/store/kit.ts'
import type { NewEvent } from '../src/core/event.ts'
import { limits } from '../src/core/limits.ts'
import { open } from '../src/open.ts'
import { places } from './engines/storages.ts'

const folder = mkdtempSync(join(tmpdir(), 'daybook-journey-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const bin = fileURLToPath(new URL('../bin/daybook.js', import.meta.url))
const library = fileURLToPath(new URL('../docs/library.ndjson', import.meta.url))

const place = (ending: string) => join(folder, `${crypto.randomUUID()}.${ending}`)

/** What a command prints for scripts, on the one output or the other. */
async function daybook(store: string, ...args: readonly string[]): Promise<unknown> {
  const words = ['--disable-warning=ExperimentalWarning', bin, ...args, '--json', '--store', store]
  const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'pipe'] })
  const [output, errors, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')])
  expect(code, `daybook ${args.join(' ')}: ${errors}`).toBe(0)
  return JSON.parse(output || errors)
}

/** What the library does not have. */
const odd: Readonly<Record<string, readonly NewEvent[]>> = {
  'scripts/all': [
    {
      type: 'Übergabe 移交 🎫',
      data: { 'clé «α»': ['𝒳', 'e\u0301', '\u0000', '\u2028', '"\\\n'] },
      tags: ['b', 'a:ß', '𝒳', 'a'],
    },
    { type: 'Numbers', data: [0, -0.1, 19.99, 1e21, 5e-324, Number.MAX_SAFE_INTEGER], id: 'an id of its own' },
    { type: 'Empty' },
    { type: 'Nothing', data: null, meta: {}, tags: [] },
    { type: 'Text', data: '', meta: { occurredAt: '2010-10-02T09:20:39.266+02:00', custom: { deep: [[], {}] } } },
  ],
  'large/1': [{ type: 'Large', data: { text: 'ä'.repeat(limits.eventBytes / 2 - 200), last: true } }],
  'long/1': range(1, 210).map((index) => ({
    type: `Happened ${index % 7}`,
    data: { index },
    tags: [`t${index % 5}`],
  })),
  'person/1': [{ type: 'Told', id: 'of a person', data: 'a secret', tags: ['secret'], meta: { from: 'a secret' } }],
}

/** All that must arrive, stream by stream. */
async function contentOf(url: string): Promise<ReadonlyMap<string, readonly unknown[]>> {
  await using store = await open(url, { readOnly: true })
  const events = (await collect(store.readLog())).filter(({ stream }) => stream !== 'person/1')
  const told = events.map((entry) => {
    const { position: _, time: __, ...rest } = entry
    return rest
  })
  return Map.groupBy(told, ({ stream }) => stream)
}

/** In the order of the journey, and home again. */
const stations = [...places, ...places.slice(0, 1)]
const missing = places.find(({ missing }) => missing !== undefined)?.missing
test.skipIf(missing !== undefined)(
  `from ${stations.map(({ name }) => name).join(' to ')} all events arrive with ids, revisions, types, tags, data and meta${missing ? ` (${missing})` : ''}`,
  async () => {
    const stops = await Promise.all(stations.map(({ next }) => next()))
    const [first = { url: '' }, ...others] = stops
    await daybook(first.url, 'import', library)
    await using store = await open(first.url)
    for (const [stream, events] of Object.entries(odd)) await store.append(stream, events)
    await store.forget('person/1', { reasonCode: 'asked' })
    const content = await contentOf(first.url)
    const count = [...content.values()].flat().length
    expect(count).toBe(25 + 5 + 1 + 210)

    let from = first.url
    let left = 1
    for (const { url } of others) {
      const file = place('ndjson')
      expect(await daybook(from, 'export', file)).toEqual({ events: count, forgottenStreams: left })
      expect(await daybook(url, 'import', file)).toEqual({ read: count, recorded: count, repeated: 0, skipped: 0 })
      expect(await daybook(url, 'import', file)).toEqual({ read: count, recorded: 0, repeated: count, skipped: 0 })
      await using arrived = await open(url)
      // Where positions come later than events.
      await until(async () => (await arrived.info()).head === count)
      expect(await contentOf(url)).toEqual(content)
      expect(await arrived.details('person/1')).toBeUndefined()
      from = url
      left = 0
    }
    for (const { drop } of stops) await drop()
  },
  // Each line of an import is an append of its own, of which those to one stream go one behind the other.
  300_000,
)
