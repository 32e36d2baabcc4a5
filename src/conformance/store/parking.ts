/** What a consumer could not handle: tried again, parked, replayed; deliveries that are answered one by one. */
import assert from 'node:assert/strict'
import type { Delivery } from '../../core/delivery.ts'
import type { LogEntry } from '../../core/event.ts'
import { cases, range } from '../kit.ts'
import { caughtUp, collect, fill, type OpenStore, until } from './kit.ts'

/** A handler that fails for what is in `bad`, and what it has handled. */
function fallible() {
  const bad = new Set<string>()
  const seen: string[] = []
  const tried: string[] = []
  const handler = async ({ stream, revision }: LogEntry) => {
    const key = `${stream} ${revision}`
    tried.push(key)
    if (bad.has(key)) throw new TypeError(`cannot handle ${key}`)
    seen.push(key)
  }
  const of = (stream: string) => seen.filter((key) => key.startsWith(stream)).map((key) => Number(key.split(' ')[1]))
  return { bad, seen, tried, of, options: { name: 'mails', tries: 3, backoffMs: 5, handler } }
}

export const parking = (open: OpenStore) =>
  cases(open, {
    'An event that fails is tried again, its stream in order, and the others go on meanwhile': async (open) => {
      const store = await open()
      const { bad, tried, of, options } = fallible()
      bad.add('seat/1 2')
      await fill(store, ['seat/1', 'seat/2'], 3)
      const consumer = await store.consumers.run({ ...options, tries: 100, backoffMs: 20 })
      await until(() => of('seat/2').length === 3 && tried.filter((key) => key === 'seat/1 2').length >= 2)
      await until(async () => (await consumer.status()).error !== undefined)
      const { error, position } = await consumer.status()
      assert.match(error?.message ?? '', /^The handler failed at revision 2 of "seat\/1", try \d+$/)
      assert.ok(position < 6)
      bad.clear()
      await caughtUp(store, consumer, 'seat/1', 'seat/2')
      assert.deepEqual([of('seat/1'), of('seat/2')], [range(1, 3), range(1, 3)])
      await until(async () => (await consumer.status()).error === undefined)
    },

    'After its last try the stream is parked with the error, what follows of it waits, and a replay handles it in order':
      async (open) => {
        const store = await open()
        const { bad, of, tried, options } = fallible()
        bad.add('seat/1 2')
        await fill(store, ['seat/1', 'seat/2'], 4)
        const consumer = await store.consumers.run(options)
        await caughtUp(store, consumer, 'seat/1', 'seat/2')
        await fill(store, ['seat/1', 'seat/2'], 2)
        await caughtUp(store, consumer, 'seat/1', 'seat/2')
        assert.deepEqual([of('seat/1'), of('seat/2')], [[1], range(1, 6)])
        const { position, lag, parked } = await consumer.status()
        assert.deepEqual([position, lag, parked], [12, 0, 1])
        const [item] = (await store.consumers.parked('mails')).parked
        const { error, position: at, ...told } = item ?? assert.fail()
        assert.deepEqual(told, { item: 'seat/1', stream: 'seat/1', revision: 2, tries: 3, replay: false })
        assert.deepEqual([error.name, error.message, at > 0], ['TypeError', 'cannot handle seat/1 2', true])
        // Still broken, further on: what could be handled is not handled again.
        bad.clear()
        bad.add('seat/1 4')
        assert.equal(await store.consumers.replayParked('mails', 'seat/1'), 1)
        await consumer.whenCaughtUp()
        assert.deepEqual(of('seat/1'), [1, 2, 3])
        assert.equal((await store.consumers.parked('mails')).parked[0]?.revision, 4)
        bad.clear()
        assert.equal(await store.consumers.replayParked('mails'), 1)
        await consumer.whenCaughtUp()
        await fill(store, ['seat/1'], 1)
        await caughtUp(store, consumer, 'seat/1')
        assert.deepEqual(of('seat/1'), range(1, 7))
        assert.deepEqual([(await consumer.status()).parked, await store.consumers.replayParked('mails')], [0, 0])
        assert.equal(tried.filter((key) => key === 'seat/1 2').length, 4)
      },

    'What is parked stays so in the next process, which replays what was asked for before it came': async (open) => {
      const store = await open()
      const first = fallible()
      first.bad.add('seat/1 1').add('seat/2 2')
      await fill(store, ['seat/1', 'seat/2', 'seat/3'], 2)
      await caughtUp(store, await store.consumers.run(first.options), 'seat/1', 'seat/2', 'seat/3')
      assert.deepEqual(first.seen.toSorted(), ['seat/2 1', 'seat/3 1', 'seat/3 2'])
      await store.close()
      const other = await open()
      const second = fallible()
      await fill(other, ['seat/1', 'seat/2', 'seat/3'], 1)
      assert.equal(await other.consumers.replayParked('mails', 'seat/1'), 1)
      const consumer = await other.consumers.run(second.options)
      await caughtUp(other, consumer, 'seat/1', 'seat/2', 'seat/3')
      assert.deepEqual([second.of('seat/1'), second.of('seat/2'), second.of('seat/3')], [[1, 2, 3], [], [3]])
      await other.consumers.replayParked('mails')
      await consumer.whenCaughtUp()
      assert.deepEqual(second.of('seat/2'), [2, 3])
    },

    'A replay while many write gives each event once and in order': async (open) => {
      const store = await open()
      const { bad, of, options } = fallible()
      bad.add('seat/1 3')
      await fill(store, ['seat/1'], 3)
      const consumer = await store.consumers.run(options)
      await until(async () => (await consumer.status()).parked === 1)
      bad.clear()
      const writing = fill(store, ['seat/1'], 40)
      await until(async () => ((await store.details('seat/1'))?.revision ?? 0) > 10)
      await store.consumers.replayParked('mails')
      await writing
      await caughtUp(store, consumer, 'seat/1')
      assert.deepEqual(of('seat/1'), range(1, 43))
    },

    'A handler can ask to be called again later, and nonsense that it returns is a try that failed': async (open) => {
      const store = await open()
      await fill(store, ['seat/1'], 1)
      const answers: unknown[] = [
        { retryInMs: 20 },
        { retryInMs: -1 },
        'done',
        { park: 7 },
        { condition: { query: [] } },
      ]
      const handler = async () => answers.shift() as undefined
      const consumer = await store.consumers.run({ name: 'mails', tries: 6, backoffMs: 1, handler })
      await caughtUp(store, consumer, 'seat/1')
      assert.deepEqual([answers, (await consumer.status()).parked], [[], 0])
    },

    'A handler can park at once, and effects of a replay are recorded as those of others': async (open) => {
      const store = await open()
      await fill(store, ['seat/1'], 3)
      let mended = false
      const consumer = await store.consumers.run({
        name: 'mails',
        streamTypes: ['seat'],
        async handler({ revision }) {
          if (revision === 2 && !mended) return { park: 'no address' }
          return { appends: [{ stream: 'mail/1', events: [{ type: `${revision}` }] }] }
        },
      })
      await caughtUp(store, consumer, 'seat/1')
      const [item] = (await store.consumers.parked('mails')).parked
      assert.deepEqual([item?.tries, item?.error.message], [1, 'no address'])
      mended = true
      await store.consumers.replayParked('mails')
      await consumer.whenCaughtUp()
      assert.deepEqual(
        (await collect(store.read('mail/1'))).map(({ type }) => type),
        ['1', '2', '3'],
      )
    },

    'A parked stream that is forgotten is parked no more, and its tombstone is delivered': async (open) => {
      const store = await open()
      const { bad, of, options } = fallible()
      bad.add('person/1 1').add('person/2 1')
      await fill(store, ['person/1', 'person/2'], 2)
      const consumer = await store.consumers.run(options)
      await caughtUp(store, consumer, 'person/1', 'person/2')
      assert.equal((await consumer.status()).parked, 2)
      await store.forget('person/1', { reasonCode: 'asked' })
      await caughtUp(store, consumer, 'person/1')
      assert.deepEqual([of('person/1'), (await consumer.status()).parked], [[3], 1])
      // Also where nobody was there to see it.
      await consumer.stop()
      await store.forget('person/2', { reasonCode: 'asked' })
      await caughtUp(store, await store.consumers.run(options), 'person/2')
      assert.deepEqual(of('person/2'), [3])
      assert.equal((await store.consumers.status('mails')).parked, 0)
    },

    'A reset leaves nothing parked': async (open) => {
      const store = await open()
      const { bad, of, options } = fallible()
      bad.add('seat/1 1')
      await fill(store, ['seat/1'], 2)
      const consumer = await store.consumers.run(options)
      await caughtUp(store, consumer, 'seat/1')
      bad.clear()
      await store.consumers.reset('mails', 'start')
      await caughtUp(store, consumer, 'seat/1')
      assert.deepEqual([of('seat/1'), (await store.consumers.parked('mails')).parked], [[1, 2], []])
    },

    'In a loop each delivery is acknowledged, put off or parked': async (open) => {
      const store = await open()
      await fill(store, ['seat/1', 'seat/2', 'seat/3'], 2)
      await caughtUp(store, undefined, 'seat/1', 'seat/2', 'seat/3')
      const told: string[] = []
      for await (const delivery of store.consumers.consume({ name: 'mails', streamTypes: ['seat'], backoffMs: 5 })) {
        const { event, tries, ack, retry, park } = delivery
        told.push(`${event.stream} ${event.revision} ${tries}`)
        if (event.stream === 'seat/1' && event.revision === 1 && tries < 3) retry(tries === 1 ? 5 : undefined)
        else if (event.stream === 'seat/2') park('not now')
        else await ack({ appends: [{ stream: 'mail/1', events: [{ type: `${event.stream} ${event.revision}` }] }] })
        if ((await store.details('mail/1'))?.revision === 4) break
      }
      const of = (stream: string) => told.filter((key) => key.startsWith(stream)).map((key) => key.slice(7))
      assert.deepEqual(
        [of('seat/1'), of('seat/3')],
        [
          ['1 1', '1 2', '1 3', '2 1'],
          ['1 1', '2 1'],
        ],
      )
      assert.deepEqual(of('seat/2'), ['1 1'])
      assert.equal((await store.consumers.parked('mails')).parked[0]?.error.message, 'not now')
      for (const cursor of ['nowhere', '["",""]']) {
        await assert.rejects(store.consumers.parked('mails', { cursor }), { code: 'invalid-argument', path: 'cursor' })
      }
      assert.equal((await store.consumers.status('mails')).state, 'idle')
    },

    'What was not acknowledged when the loop was left comes again, and what was does not': async (open) => {
      const store = await open()
      await fill(store, ['seat/1', 'seat/2'], 2)
      await caughtUp(store, undefined, 'seat/1', 'seat/2')
      const first: Delivery[] = []
      for await (const delivery of store.consumers.consume({ name: 'mails' })) {
        first.push(delivery)
        if (first.length === 1) await delivery.ack()
        if (first.length === 2) break
      }
      const [acked, open2] = first
      const again: string[] = []
      for await (const { event, ack } of store.consumers.consume({ name: 'mails' })) {
        again.push(`${event.stream} ${event.revision}`)
        await ack()
        if (again.length === 3) break
      }
      assert.ok(!again.includes(`${acked?.event.stream} ${acked?.event.revision}`))
      assert.ok(again.includes(`${open2?.event.stream} ${open2?.event.revision}`))
      await assert.rejects(async () => open2?.ack(), { message: 'The consumer has stopped' })
    },

    'An acknowledgement that cannot be recorded says so, and the delivery comes again': async (open) => {
      const store = await open()
      await fill(store, ['seat/1'], 1)
      const expected = 7
      for await (const { tries, ack } of store.consumers.consume({
        name: 'mails',
        streamTypes: ['seat'],
        backoffMs: 5,
      })) {
        const events = [{ type: 'Mailed' }]
        if (tries === 2) {
          await ack()
          break
        }
        await assert.rejects(ack({ appends: [{ stream: 'mail/1', expected, events }] }), { code: 'revision-conflict' })
      }
      assert.equal(await store.details('mail/1'), undefined)
    },

    'A loop ends with its signal and with the store': async (open) => {
      const store = await open()
      await fill(store, ['seat/1'], 1)
      const ended = new AbortController()
      const events: number[] = []
      for await (const { event, ack } of store.consumers.consume({ name: 'mails', signal: ended.signal })) {
        events.push(event.revision)
        await ack()
        ended.abort()
      }
      assert.deepEqual(events, [1])
      const following = collect(store.consumers.consume({ name: 'mails' }))
      await until(async () => (await store.consumers.status('mails')).state === 'running')
      await store.close()
      assert.deepEqual(await following, [])
      assert.throws(() => store.consumers.consume({ name: 'not a name' }), { code: 'invalid-argument', path: 'name' })
      assert.throws(() => store.consumers.consume({ name: 'mails' }), { code: 'store-closed' })
    },
  })
