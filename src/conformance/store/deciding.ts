/** Deciders run against the store; forgetting; what the store tells of itself. */
import assert from 'node:assert/strict'
import { type Decider, execute } from '../../core/decider.ts'
import { causedBy, type EventOf } from '../../core/event.ts'
import { cases, range } from '../kit.ts'
import { collect, type OpenStore, positionOf, until } from './kit.ts'

type SeatEvent = EventOf<{ Reserved: { by: string }; Freed: null }>
interface Seat {
  readonly by: string | undefined
  readonly times: number
}
const seat: Decider<{ reserve: string } | 'free', SeatEvent, Seat> = {
  initialState: () => ({ by: undefined, times: 0 }),
  evolve(state, event) {
    switch (event.type) {
      case 'Reserved':
        return { by: event.data.by, times: state.times + 1 }
      case 'Freed':
        return { ...state, by: undefined }
    }
  },
  decide(command, state) {
    if (command === 'free') return state.by === undefined ? [] : [{ type: 'Freed', data: null }]
    if (state.by !== undefined) throw new Error(`taken by ${state.by}`)
    return [{ type: 'Reserved', data: { by: command.reserve } }]
  },
}

export const deciding = (open: OpenStore) =>
  cases(open, {
    'A command is decided on the loaded state, recorded at its revision, and answered with the new state': async (
      open,
    ) => {
      const store = await open()
      const reserved = await store.execute(seat, 'seat/1', { reserve: 'ann' })
      assert.deepEqual([reserved.state, reserved.revision], [{ by: 'ann', times: 1 }, 1])
      const [event] = await collect(store.read('seat/1'))
      const position = await positionOf(store, 'seat/1')
      assert.deepEqual(
        reserved.events.map((event) => ({ ...event, position })),
        [{ ...event, position }],
      )
      const freed = await store.execute(seat, 'seat/1', 'free')
      assert.deepEqual([freed.state, freed.revision], [{ by: undefined, times: 1 }, 2])
      const nothing = await store.execute(seat, 'seat/1', 'free')
      assert.deepEqual([nothing.events, nothing.revision], [[], 2])
    },

    'A command that is refused throws its own error, and writes nothing': async (open) => {
      const store = await open()
      await store.execute(seat, 'seat/1', { reserve: 'ann' })
      await assert.rejects(store.execute(seat, 'seat/1', { reserve: 'bob' }), { message: 'taken by ann' })
      assert.equal((await store.details('seat/1'))?.revision, 1)
    },

    'Of many commands at once each is decided on the state that it is recorded after': async (open) => {
      const stores = [await open(), await open()]
      const count: Decider<'add', EventOf<{ Added: { to: number } }>, number> = {
        initialState: () => 0,
        evolve: (total) => total + 1,
        decide: (_, total) => [{ type: 'Added', data: { to: total + 1 } }],
      }
      await Promise.all(
        range(1, 8).map((index) => (stores[index % 2] ?? assert.fail()).execute(count, 'counter/1', 'add')),
      )
      const events = await collect((stores[0] ?? assert.fail()).read('counter/1'))
      assert.deepEqual(
        events.map(({ data }) => (data as { to: number }).to),
        range(1, 8),
      )
      const rivals = range(1, 6).map((rival) =>
        (stores[rival % 2] ?? assert.fail()).execute(seat, 'seat/9', { reserve: `${rival}` }),
      )
      const won = (await Promise.allSettled(rivals)).filter(({ status }) => status === 'fulfilled')
      assert.equal(won.length, 1)
    },

    'A race that is lost too often is told as a conflict': async (open) => {
      const store = await open()
      const losing: Decider<string, SeatEvent, Seat> = {
        ...seat,
        decide: () => [{ type: 'Reserved', data: { by: 'me' } }],
      }
      const rival = {
        append: async () => Promise.reject(Object.assign(new Error('lost'), { code: 'revision-conflict' })),
        readPage: store.readPage,
      }
      await assert.rejects(execute(rival, losing, 'seat/1', 'x', { tries: 3 }), { code: 'revision-conflict' })
      await assert.rejects(store.execute(seat, 'seat/1', 'free', { tries: 0 }), { code: 'invalid-argument' })
    },

    'A command on a revision that was seen is decided on that one, and recorded right behind it or not at all': async (
      open,
    ) => {
      const store = await open()
      const rename: Decider<{ to: string; id?: string }, EventOf<{ Named: { to: string; was: string } }>, string> = {
        initialState: () => 'nobody',
        evolve: (was, event) => (event.type === 'Named' ? event.data.to : was),
        decide: ({ to, id }, was) => [{ type: 'Named', data: { to, was }, ...(id !== undefined && { id }) }],
      }
      const named = (to: string, expected: number, id?: string) =>
        store.execute(rename, 'seat/1', { to, ...(id !== undefined && { id }) }, { expected })
      const [first, second] = [await named('ann', 0, 'one'), await named('bob', 1, 'two')]
      assert.deepEqual([first.state, first.revision, second.state, second.revision], ['ann', 1, 'bob', 2])
      await named('eve', 2)
      // The same again is answered as the first time, whatever has come since.
      const again = [await named('ann', 0, 'one'), await named('bob', 1, 'two')]
      for (const [index, { state, revision, events }] of [first, second].entries()) {
        assert.deepEqual([again[index]?.state, again[index]?.revision], [state, revision])
        const [told, toldAgain] = [events, again[index]?.events].map((events) =>
          events?.map(({ id, time }) => [id, time]),
        )
        assert.deepEqual(toldAgain, told)
      }
      await assert.rejects(named('mal', 1, 'two'), { code: 'event-id-reused' })
      await assert.rejects(named('mal', 0), { code: 'revision-conflict', expected: 0, actual: 3 })
      await assert.rejects(named('mal', 2), { code: 'revision-conflict', expected: 2, actual: 3 })
      await assert.rejects(named('mal', 4), { code: 'revision-conflict', expected: 4, actual: 3 })
      await assert.rejects(store.execute(rename, 'seat/2', { to: 'mal' }, { expected: 1 }), {
        ...{ code: 'revision-conflict', stream: 'seat/2', expected: 1, actual: 0 },
      })
      await assert.rejects(named('mal', -1), { code: 'invalid-argument', path: 'expected' })
      const events = await collect(store.read('seat/1'))
      assert.deepEqual(
        events.map(({ data }) => data),
        [
          { to: 'ann', was: 'nobody' },
          { to: 'bob', was: 'ann' },
          { to: 'eve', was: 'bob' },
        ],
      )
      const rivals = await Promise.allSettled(range(1, 6).map((rival) => named(`${rival}`, 3)))
      assert.equal(rivals.filter(({ status }) => status === 'fulfilled').length, 1)
      await store.forget('seat/1', { reasonCode: 'asked' })
      for (const expected of [0, 1, 4, 5, 6]) {
        await assert.rejects(named('mal', expected), { code: 'stream-forgotten' })
      }
    },

    'The meta of a command is laid under that of its events, and what causes what can be followed': async (open) => {
      const store = await open()
      const meta = { correlationId: 'case-7', occurredAt: '2026-01-01T00:00:00Z' }
      const { events } = await store.execute(seat, 'seat/1', { reserve: 'ann' }, { meta })
      assert.deepEqual(events[0]?.meta, meta)
      const [cause] = await collect(store.read('seat/1'))
      assert.ok(cause)
      const caused = await store.execute(seat, 'seat/1', 'free', { meta: causedBy(cause) })
      assert.deepEqual(caused.events[0]?.meta, { correlationId: 'case-7', causationId: cause.id })
    },

    'A stream is loaded as it is, as it was at a revision, and as it was at an instant': async (open) => {
      let now = 1_000
      const store = await open({ clock: () => now })
      for (now of [1_000, 2_000]) {
        await store.execute(seat, 'seat/1', { reserve: `at ${now}` })
        await store.execute(seat, 'seat/1', 'free')
      }
      const loaded = async (at?: number | Date) => {
        const { state, revision } = await store.load('seat/1', seat, at === undefined ? {} : { at })
        return [state.by, state.times, revision]
      }
      assert.deepEqual(await loaded(), [undefined, 2, 4])
      assert.deepEqual(await loaded(3), ['at 2000', 2, 3])
      assert.deepEqual(await loaded(0), [undefined, 0, 0])
      assert.deepEqual(await loaded(new Date(1_999)), [undefined, 1, 2])
      assert.deepEqual(await loaded(new Date(0)), [undefined, 0, 0])
      assert.deepEqual(await store.load('seat/none', seat), { state: { by: undefined, times: 0 }, revision: 0 })
    },

    'A long stream is loaded whole': async (open) => {
      const store = await open()
      const many = range(1, 1_000).map(() => ({ type: 'Reserved', data: { by: 'ann' } }))
      for (const _ of range(1, 3)) await store.append('seat/1', many)
      const { state, revision } = await store.load('seat/1', seat)
      assert.deepEqual([state.times, revision], [3_000, 3_000])
    },

    'Forgetting leaves the tombstone alone, closes the stream, and reports': async (open) => {
      const store = await open()
      await store.append(
        'person/1',
        range(1, 5).map((data) => ({ type: 'Told', data, id: `id-${data}`, tags: ['ann'] })),
      )
      await store.append('person/2', [{ type: 'Told' }])
      const report = await store.forget('person/1', { reasonCode: 'gdpr-art-17' })
      const position = await positionOf(store, 'person/1')
      const { time, remains, ...rest } = report
      assert.ok(remains.every(({ where, ends }) => where !== '' && ends !== ''))
      assert.deepEqual(
        { ...rest, position },
        {
          ...{ stream: 'person/1', revision: 6, position, events: 5, documents: 0, kinds: {} },
          ...{ segments: 0, backups: 0, scrub: 'done' },
        },
      )
      const [tombstone, ...others] = await collect(store.read('person/1'))
      assert.deepEqual(others, [])
      const { id: _, ...told } = tombstone ?? assert.fail()
      assert.deepEqual(told, {
        stream: 'person/1',
        revision: 6,
        position,
        time,
        type: '$forgotten',
        data: null,
        meta: { reasonCode: 'gdpr-art-17' },
        tags: [],
        tombstone: true,
      })
      const details = await store.details('person/1')
      assert.deepEqual([details?.revision, details?.forgotten], [6, true])
      await assert.rejects(store.append('person/1', [{ type: 'Told' }]), {
        code: 'stream-forgotten',
        stream: 'person/1',
      })
      await assert.rejects(store.append('person/1', [{ type: 'Told', data: 1, id: 'id-1' }], { expected: 0 }), {
        code: 'stream-forgotten',
      })
      assert.deepEqual((await store.readBoundary([{ tags: ['ann'] }])).events, [])
    },

    'The feed shows that something was forgotten, but not what': async (open) => {
      const store = await open()
      await store.append('person/1', [{ type: 'Told', data: 'secret', tags: ['ann'] }])
      await store.append('seat/1', [{ type: 'Reserved' }])
      await store.forget('person/1', { reasonCode: 'gdpr-art-17' })
      await until(async () => (await store.info()).head === 3)
      const [gone, ...rest] = await collect(store.readLog())
      assert.deepEqual(Object.keys(gone ?? {}).sort(), ['forgotten', 'position', 'revision', 'stream', 'time'])
      assert.deepEqual(
        rest.map((entry) => !entry.forgotten && entry.type),
        ['Reserved', '$forgotten'],
      )
      const types = async (filter: object) =>
        (await collect(store.readLog(filter))).map((entry) => (entry.forgotten ? 'gone' : entry.type))
      assert.deepEqual(await types({ streamTypes: ['person'] }), ['gone', '$forgotten'])
      assert.deepEqual(await types({ types: ['Told'] }), ['$forgotten'])
      assert.deepEqual(await types({ tags: ['ann'] }), ['$forgotten'])
      assert.deepEqual(await types({ streamTypes: ['seat'], tags: ['ann'] }), [])
    },

    'The tombstone may bear a type and data of the caller; forgetting again is a repeat, with others an error': async (
      open,
    ) => {
      const store = await open()
      await store.append('person/1', [{ type: 'Told' }])
      const options = { reasonCode: 'asked', tombstone: { type: 'CustomerDeleteEvent', data: null } }
      const first = await store.forget('person/1', options)
      const [tombstone] = await collect(store.read('person/1'))
      assert.deepEqual([tombstone?.type, tombstone?.data, tombstone?.tombstone], ['CustomerDeleteEvent', null, true])
      const again = await store.forget('person/1', options)
      // What a long read of somebody else has held up the first time may be done by now.
      const { scrub, remains } = first.scrub === 'done' ? first : again
      assert.deepEqual(again, { ...first, scrub, remains })
      await assert.rejects(store.forget('person/1', { reasonCode: 'other' }), { code: 'stream-forgotten' })
    },

    'Forgetting what never was, or without a reason, is refused': async (open) => {
      const store = await open()
      await assert.rejects(store.forget('person/1', { reasonCode: 'asked' }), {
        code: 'stream-not-found',
        stream: 'person/1',
      })
      await store.append('person/1', [{ type: 'Told' }])
      await assert.rejects(store.forget('person/1', { reasonCode: '' }), {
        code: 'invalid-argument',
        path: 'reasonCode',
      })
      const own = { reasonCode: 'asked', tombstone: { type: '$mine' } }
      await assert.rejects(store.forget('person/1', own), { code: 'invalid-argument', path: 'tombstone.type' })
      assert.equal((await store.details('person/1'))?.forgotten, false)
    },

    'Rivals that write while a stream is forgotten are recorded before the tombstone or refused': async (open) => {
      const stores = [await open(), await open()]
      const [store] = stores
      assert.ok(store)
      await store.append('person/1', [{ type: 'Told' }])
      const writers = range(1, 20).map((index) =>
        (stores[index % 2] ?? store).append('person/1', [{ type: 'Told' }]).then(
          ({ revision }) => revision,
          (error) => assert.equal(error.code, 'stream-forgotten'),
        ),
      )
      const report = await store.forget('person/1', { reasonCode: 'asked' })
      const written = (await Promise.all(writers)).filter((revision) => typeof revision === 'number')
      assert.equal(report.revision, written.length + 2)
      assert.equal((await collect(store.read('person/1'))).length, 1)
    },

    'A store opened for reading only reads all and refuses to write': async (open) => {
      const writer = await open()
      await writer.append('seat/1', [{ type: 'Reserved' }])
      const reader = await open({ readOnly: true })
      assert.equal((await collect(reader.read('seat/1'))).length, 1)
      await assert.rejects(reader.append('seat/1', [{ type: 'Freed' }]), { code: 'store-read-only' })
      await assert.rejects(reader.forget('seat/1', { reasonCode: 'asked' }), { code: 'store-read-only' })
    },

    'The store tells the id and the head of its log': async (open) => {
      const store = await open()
      const { logId, head } = await store.info()
      assert.equal(head, 0)
      await store.append('seat/1', [{ type: 'Reserved' }, { type: 'Freed' }])
      await until(async () => (await store.info()).head === 2)
      const again = await (await open()).info()
      assert.deepEqual([again.logId, again.head], [logId, 2])
    },
  })
