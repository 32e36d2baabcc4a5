/** Consumers: every event in the order of its stream, a checkpoint behind them, one process at a time, effects once. */
import assert from 'node:assert/strict'
import { causedBy, type LogEntry } from '../../core/event.ts'
import { derivedId } from '../../core/id.ts'
import type { Store } from '../../core/store.ts'
import { cases, range, revisionsOf } from '../kit.ts'
import { caughtUp, collect, fill, mortal, type OpenStore, positionOf, until } from './kit.ts'

const termMs = 1_000

export const consuming = (open: OpenStore) =>
  cases(open, {
    'A consumer is given what is there and what comes, and says when it has handled all of it': async (open) => {
      const store = await open()
      await fill(store, ['seat/1', 'seat/2'], 3)
      const seen: LogEntry[] = []
      const consumer = await store.consumers.run({ name: 'mails', handler: async (event) => void seen.push(event) })
      await caughtUp(store, consumer, 'seat/1', 'seat/2')
      assert.equal(seen.length, 6)
      await fill(store, ['seat/2'], 2)
      await caughtUp(store, consumer, 'seat/2')
      assert.deepEqual(revisionsOf(seen.filter(({ stream }) => stream === 'seat/2')), range(1, 5))
      const [event] = await collect(store.readLog({ until: 1 }))
      assert.deepEqual(
        seen.find(({ position }) => position === 1),
        event,
      )
      const { held, seenAt, ...status } = await consumer.status()
      assert.deepEqual(status, {
        ...{ name: 'mails', streamTypes: [], types: [], tags: [], state: 'running', position: 8, head: 8, lag: 0 },
        parked: 0,
      })
      assert.ok(held && Date.parse(held.since) <= Date.parse(seenAt))
      await consumer.stop()
      assert.equal((await store.consumers.status('mails')).state, 'idle')
      await assert.rejects(consumer.whenCaughtUp(), { name: 'AbortError' })
    },

    'It goes on where it was stopped, also in another process': async (open) => {
      const store = await open()
      const seen: string[] = []
      const options = {
        name: 'mails',
        handler: async ({ stream, revision }: LogEntry) => void seen.push(`${stream} ${revision}`),
      }
      await fill(store, ['seat/1'], 3)
      await caughtUp(store, await store.consumers.run(options), 'seat/1')
      await store.close()
      const other = await open()
      await fill(other, ['seat/1'], 2)
      await caughtUp(other, await other.consumers.run(options), 'seat/1')
      assert.deepEqual(
        seen,
        range(1, 5).map((revision) => `seat/1 ${revision}`),
      )
    },

    'A new one begins with the first event, with what comes, or behind a position; a known one where it is': async (
      open,
    ) => {
      const store = await open()
      await fill(store, ['seat/1'], 4)
      await caughtUp(store, undefined, 'seat/1')
      const seen: Record<string, number[]> = { start: [], now: [], two: [] }
      const run = (name: string, from: 'start' | 'now' | number) =>
        store.consumers.run({ name, from, handler: async ({ revision }) => void seen[name]?.push(revision) })
      const all = [await run('start', 'start'), await run('now', 'now'), await run('two', 2)]
      await fill(store, ['seat/1'], 1)
      for (const consumer of all) await caughtUp(store, consumer, 'seat/1')
      assert.deepEqual(seen, { start: [1, 2, 3, 4, 5], now: [5], two: [3, 4, 5] })
      await all[1]?.stop()
      await caughtUp(store, await run('now', 'start'), 'seat/1')
      assert.deepEqual(seen['now'], [5])
    },

    'A filter leaves out what it does not name, and the checkpoint moves on past it': async (open) => {
      const store = await open()
      await store.append('seat/1', [
        { type: 'Reserved', tags: ['vip'] },
        { type: 'Freed', tags: ['vip'] },
      ])
      await store.append('seat/2', [{ type: 'Reserved' }])
      await store.append('show/1', [{ type: 'Reserved', tags: ['vip'] }])
      const seen: string[] = []
      const filter = { streamTypes: ['seat'], types: ['Reserved'], tags: ['vip'] }
      const consumer = await store.consumers.run({
        ...filter,
        name: 'vips',
        handler: async ({ stream, revision }) => void seen.push(`${stream} ${revision}`),
      })
      await caughtUp(store, consumer, 'seat/1', 'seat/2', 'show/1')
      assert.deepEqual(seen, ['seat/1 1'])
      assert.equal((await consumer.status()).position, 4)
    },

    'Tombstones and forgotten entries come as they come to subscribers': async (open) => {
      const store = await open()
      await store.append('person/1', [{ type: 'Told', data: 'secret', tags: ['ann'] }])
      await store.forget('person/1', { reasonCode: 'asked' })
      const seen: Record<string, unknown[]> = { all: [], some: [] }
      const handler = (name: string) => async (entry: LogEntry) =>
        void seen[name]?.push(entry.forgotten ? 'forgotten' : entry.type)
      const all = await store.consumers.run({ name: 'all', handler: handler('all') })
      const some = await store.consumers.run({ name: 'some', types: ['Told'], handler: handler('some') })
      await caughtUp(store, all, 'person/1')
      await caughtUp(store, some, 'person/1')
      assert.deepEqual(seen, { all: ['forgotten', '$forgotten'], some: ['$forgotten'] })
    },

    'Streams are handled side by side, each in its order, and the checkpoint waits for the slowest': async (open) => {
      const store = await open()
      await fill(store, ['slow/1'], 2)
      await caughtUp(store, undefined, 'slow/1')
      await fill(store, ['seat/1', 'seat/2'], 10)
      const seen: string[] = []
      let finish = () => {}
      const waits = new Promise<void>((resolve) => {
        finish = resolve
      })
      const consumer = await store.consumers.run({
        name: 'mails',
        parallel: 2,
        async handler({ stream, revision }) {
          if (stream === 'slow/1') await waits
          seen.push(`${stream} ${revision}`)
        },
      })
      await until(() => seen.length === 20)
      const { position, lag } = await consumer.status()
      assert.deepEqual([position, lag > 0], [0, true])
      finish()
      await caughtUp(store, consumer, 'slow/1', 'seat/1', 'seat/2')
      for (const stream of ['seat/1', 'seat/2', 'slow/1']) {
        const revisions = seen.filter((key) => key.startsWith(stream)).map((key) => Number(key.split(' ')[1]))
        assert.deepEqual(revisions, range(1, stream === 'slow/1' ? 2 : 10))
      }
      assert.equal((await consumer.status()).position, 22)
    },

    'What a handler returns is recorded with the checkpoint; a reaction with derived ids once for good': async (
      open,
    ) => {
      const store = await open()
      await fill(store, ['seat/1', 'seat/2'], 3)
      const handler = async (event: LogEntry) => {
        if (event.forgotten) return
        const reaction = { type: 'Mailed', id: derivedId(['mail', event.id]), meta: causedBy(event) }
        return { appends: [{ stream: `mail/${event.stream.slice(5)}`, events: [reaction] }] }
      }
      const consumer = await store.consumers.run({ name: 'mails', streamTypes: ['seat'], handler })
      await caughtUp(store, consumer, 'seat/1', 'seat/2')
      // On some storages positions come later.
      for (const stream of ['mail/1', 'mail/2']) await positionOf(store, stream)
      const mails = async () => [...(await collect(store.read('mail/1'))), ...(await collect(store.read('mail/2')))]
      const first = await mails()
      assert.equal(first.length, 6)
      const [cause] = await collect(store.read('seat/1'))
      assert.equal(first[0]?.meta?.causationId, cause?.id)
      // From the start again: each is the repeat of what is there.
      await store.consumers.reset('mails', 'start')
      await caughtUp(store, consumer, 'seat/1', 'seat/2')
      assert.deepEqual(await mails(), first)
    },

    'One process at a time works on a name, and another goes on when that is stopped': async (open) => {
      const [store, other] = [await open(), await open()]
      const seen: string[] = []
      const run = (store: Store, who: string) =>
        store.consumers.run({ name: 'mails', handler: async ({ revision }) => void seen.push(`${who} ${revision}`) })
      const first = await run(store, 'first')
      await fill(store, ['seat/1'], 2)
      await caughtUp(store, first, 'seat/1')
      const second = await run(other, 'second')
      await fill(store, ['seat/1'], 2)
      // Also the one that stands by knows when all is handled.
      await caughtUp(other, second, 'seat/1')
      await first.stop()
      await fill(store, ['seat/1'], 2)
      await caughtUp(other, second, 'seat/1')
      assert.deepEqual(seen, ['first 1', 'first 2', 'first 3', 'first 4', 'second 5', 'second 6'])
    },

    'When its process dies another takes over, in order, and what the dead one still does counts for nothing': async (
      open,
    ) => {
      const dying = mortal()
      const [dead, store] = [await open(dying.options), await open()]
      const reacting = (who: string, wait: (event: LogEntry, signal: AbortSignal) => Promise<void>) => ({
        name: 'reactions',
        streamTypes: ['seat'],
        termMs,
        async handler(event: LogEntry, { signal }: { readonly signal: AbortSignal }) {
          await wait(event, signal)
          return {
            appends: [{ stream: `done/${event.stream.slice(5)}`, events: [{ type: `${event.revision}`, data: who }] }],
          }
        },
      })
      await fill(store, ['seat/1', 'seat/2'], 4)
      const waiting = new Set<string>()
      let died = false
      let finish = () => {}
      const stuck = new Promise<void>((resolve) => {
        finish = resolve
      })
      // While it lives, it may still lose its short lease to a slow machine, and begin anew.
      const late = await dead.consumers.run(
        reacting('dead', async ({ stream, revision }, signal) => {
          if (revision === 1) return
          waiting.add(stream)
          await Promise.race([
            stuck,
            new Promise<void>((lost) => signal.addEventListener('abort', () => died || lost())),
          ])
        }),
      )
      await until(() => waiting.size === 2)
      died = true
      dying.die()
      const consumer = await store.consumers.run(reacting('alive', async () => {}))
      await caughtUp(store, consumer, 'seat/1', 'seat/2')
      dying.revive()
      finish()
      await late.stop()
      for (const stream of ['done/1', 'done/2']) {
        const types = (await collect(store.read(stream))).map(({ type }) => Number(type))
        assert.deepEqual(types, range(1, 4), stream)
      }
    },

    'While many write and processes come and go, each event has its effect once and in order': async (open) => {
      const store = await open()
      const streams = range(1, 6).map((index) => `seat/${index}`)
      const writing = Promise.all(
        streams.map(async (stream) => {
          for (const _ of range(1, 10)) await store.append(stream, [{ type: 'Reserved' }])
        }),
      )
      const workers = await Promise.all(
        range(1, 3).map(async (index) => {
          const life = mortal()
          return { life, store: index === 3 ? await open() : await open(life.options) }
        }),
      )
      let handled = 0
      for (const worker of workers) {
        await worker.store.consumers.run({
          ...{ name: 'reactions', streamTypes: ['seat'], termMs, parallel: 3, backoffMs: 10 },
          async handler({ stream, revision }) {
            handled++
            // The first two die in the middle of it.
            if (worker !== workers[2] && handled % 7 === 0) worker.life.die()
            return { appends: [{ stream: `done/${stream.slice(5)}`, events: [{ type: `${revision}` }] }] }
          },
        })
      }
      await writing
      const done = async (stream: string) => (await collect(store.read(stream.replace('seat', 'done')))).length
      await until(async () => (await Promise.all(streams.map(done))).every((length) => length >= 10))
      for (const stream of streams) {
        const types = (await collect(store.read(stream.replace('seat', 'done')))).map(({ type }) => Number(type))
        assert.deepEqual(types, range(1, 10), stream)
      }
    },

    'Nobody works on a paused consumer until it is resumed': async (open) => {
      const [store, other] = [await open(), await open()]
      const seen: number[] = []
      const consumer = await store.consumers.run({
        name: 'mails',
        handler: async ({ revision }) => void seen.push(revision),
      })
      await fill(store, ['seat/1'], 1)
      await caughtUp(store, consumer, 'seat/1')
      await other.consumers.pause('mails')
      await until(async () => (await store.consumers.status('mails')).held === undefined)
      await fill(store, ['seat/1'], 1)
      await caughtUp(store, undefined, 'seat/1')
      const { state, lag } = await store.consumers.status('mails')
      assert.deepEqual([state, lag, seen], ['paused', 1, [1]])
      await other.consumers.resume('mails')
      await caughtUp(store, consumer, 'seat/1')
      assert.deepEqual(seen, [1, 2])
    },

    'A consumer that is reset is given everything behind that place anew, one that is removed ends': async (open) => {
      const store = await open()
      const seen: number[] = []
      const options = { name: 'mails', handler: async ({ revision }: LogEntry) => void seen.push(revision) }
      const consumer = await store.consumers.run(options)
      await fill(store, ['seat/1'], 3)
      await caughtUp(store, consumer, 'seat/1')
      await store.consumers.reset('mails', 1)
      await caughtUp(store, consumer, 'seat/1')
      assert.deepEqual(seen, [1, 2, 3, 2, 3])
      await assert.rejects(store.consumers.reset('mails', 4), { code: 'position-beyond-head', position: 4, head: 3 })
      await store.consumers.remove('mails')
      await assert.rejects(consumer.ended, { code: 'consumer-not-found', consumer: 'mails' })
      await assert.rejects(consumer.whenCaughtUp(), { code: 'consumer-not-found' })
      assert.deepEqual(await store.consumers.list(), [])
      await caughtUp(store, await store.consumers.run(options), 'seat/1')
      assert.deepEqual(seen, [1, 2, 3, 2, 3, 1, 2, 3])
    },

    'Closing the store lets what is at work finish': async (open) => {
      const store = await open()
      await fill(store, ['seat/1'], 2)
      let begun = false
      await store.consumers.run({
        name: 'mails',
        streamTypes: ['seat'],
        async handler({ revision }) {
          begun = true
          await new Promise((resolve) => setTimeout(resolve, 50))
          return { appends: [{ stream: 'mail/1', events: [{ type: `${revision}` }] }] }
        },
      })
      await until(() => begun)
      await store.close()
      const again = await open()
      assert.equal((await collect(again.read('mail/1'))).length, 1)
      assert.equal((await again.consumers.status('mails')).state, 'idle')
    },

    'What cannot be consumed is refused, and changes nothing': async (open) => {
      const store = await open()
      const handler = async () => {}
      const { consumers } = store
      for (const call of [
        () => consumers.status('none'),
        () => consumers.parked('none'),
        () => consumers.replayParked('none'),
        () => consumers.pause('none'),
        () => consumers.resume('none'),
        () => consumers.reset('none', 'start'),
        () => consumers.remove('none'),
      ]) {
        await assert.rejects(call(), { code: 'consumer-not-found', consumer: 'none' }, String(call))
      }
      for (const [options, path] of [
        [{ name: 'not a name' }, 'name'],
        [{ name: 'x', from: 'here' }, 'from'],
        [{ name: 'x', from: -1 }, 'from'],
        [{ name: 'x', tags: [''] }, 'filter.tags[0]'],
        [{ name: 'x', parallel: 0 }, 'parallel'],
        [{ name: 'x', tries: 101 }, 'tries'],
        [{ name: 'x', backoffMs: 0 }, 'backoffMs'],
        [{ name: 'x', termMs: 1 }, 'termMs'],
        [{ name: 'x', handler: 'none' }, 'options.handler'],
        [{ name: 'x', onTrouble: 'none' }, 'options.onTrouble'],
      ] as const) {
        const run = consumers.run({ handler, ...options } as never)
        await assert.rejects(run, { code: 'invalid-argument', path }, path)
      }
      const beyond = { code: 'position-beyond-head', position: 1, head: 0 }
      await assert.rejects(consumers.run({ name: 'x', from: 1, handler }), beyond)
      assert.deepEqual(await consumers.list(), [])
      const types = ['b', 'a']
      const consumer = await consumers.run({ name: 'x', types, handler })
      await (await consumers.run({ name: 'x', types: ['a', 'b', 'a'], handler })).stop()
      await assert.rejects(consumers.run({ name: 'x', types: ['a'], handler }), {
        code: 'definition-clash',
        what: 'consumer "x"',
        field: 'types',
      })
      await consumer.stop()
      const reader = await open({ readOnly: true })
      assert.equal((await reader.consumers.list()).length, 1)
      await assert.rejects(reader.consumers.run({ name: 'x', types, handler }), { code: 'store-read-only' })
      await assert.rejects(reader.consumers.pause('x'), { code: 'store-read-only' })
    },
  })
