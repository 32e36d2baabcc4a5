/** Appending: expected revisions, ids, conditions, several streams; and everything that is refused. */
import assert from 'node:assert/strict'
import { limits } from '../../core/limits.ts'
import { cases, range } from '../kit.ts'
import { collect, type OpenStore, positionOf } from './kit.ts'

const day = '2026-01-31T09:30:00.000Z'

export const appending = (open: OpenStore) =>
  cases(open, {
    'An append answers with revisions, ids, time and position, and what is read back is what was written': async (
      open,
    ) => {
      const store = await open({ clock: () => Date.parse(day) })
      const meta = { occurredAt: '2010-10-02T09:20:39.266+02:00', correlationId: 'c', custom: [1, null] }
      const appended = await store.append('seat/1', [
        { type: 'Reserved', data: { by: 'ann', nested: [{ a: '\u0000🎫' }] }, meta, tags: ['vip', 'ann', 'vip'] },
        { type: 'Freed', id: 'my-own-id' },
      ])
      assert.deepEqual([appended.stream, appended.first, appended.revision, appended.repeated], ['seat/1', 1, 2, false])
      assert.equal(appended.time, day)
      assert.equal(appended.ids[1], 'my-own-id')
      const position = await positionOf(store, 'seat/1')
      assert.equal(appended.position ?? position, 2)
      assert.deepEqual(await collect(store.read('seat/1')), [
        {
          id: appended.ids[0],
          stream: 'seat/1',
          revision: 1,
          position: 1,
          time: day,
          type: 'Reserved',
          data: { by: 'ann', nested: [{ a: '\u0000🎫' }] },
          meta,
          tags: ['ann', 'vip'],
        },
        {
          id: 'my-own-id',
          stream: 'seat/1',
          revision: 2,
          position: 2,
          time: day,
          type: 'Freed',
          data: null,
          meta: null,
          tags: [],
        },
      ])
    },

    'Every word of "expected" is kept, and a conflict is a typed error with the actual revision': async (open) => {
      const store = await open()
      const one = [{ type: 'Happened' }]
      const conflict = (expected: unknown, actual: number) => ({
        code: 'revision-conflict',
        stream: 'seat/1',
        expected,
        actual,
      })
      await assert.rejects(store.append('seat/1', one, { expected: 'exists' }), conflict('exists', 0))
      await assert.rejects(store.append('seat/1', one, { expected: 1 }), conflict(1, 0))
      await store.append('seat/1', one, { expected: 0 })
      await assert.rejects(store.append('seat/1', one, { expected: 0 }), conflict(0, 1))
      await store.append('seat/1', one, { expected: 'exists' })
      await store.append('seat/1', one, { expected: 'any' })
      await store.append('seat/1', one)
      await store.append('seat/1', one, { expected: 4 })
      await assert.rejects(store.append('seat/1', one, { expected: 4 }), conflict(4, 5))
      assert.equal((await store.details('seat/1'))?.revision, 5)
    },

    'Repeating an append with its ids writes nothing, and answers as the first time': async (open) => {
      const store = await open()
      const events = [
        { type: 'Reserved', id: 'a', data: 1 },
        { type: 'Reserved', id: 'b', data: 2 },
      ]
      const first = await store.append('seat/1', events, { expected: 0 })
      await store.append('seat/1', [{ type: 'Freed' }])
      const again = await store.append('seat/1', events, { expected: 0 })
      const { position: _, ...told } = first
      assert.deepEqual({ ...again, position: 0 }, { ...told, repeated: true, position: 0 })
      assert.equal((await store.details('seat/1'))?.revision, 3)
      const other = [{ type: 'Reserved', id: 'a', data: 'other' }]
      await assert.rejects(store.append('seat/1', other, { expected: 0 }), {
        code: 'event-id-reused',
        id: 'a',
        stream: 'seat/1',
        revision: 1,
      })
    },

    'Tries of one append that run at once write it once': async (open) => {
      const store = await open()
      const other = await open()
      const events = [
        { type: 'Reserved', id: 'a' },
        { type: 'Reserved', id: 'b' },
      ]
      const tries = range(1, 16).map((index) => (index % 2 ? store : other).append('seat/1', events, { expected: 0 }))
      const answers = await Promise.all(tries)
      assert.equal(answers.filter(({ repeated }) => !repeated).length, 1)
      assert.deepEqual(new Set(answers.map(({ revision }) => revision)), new Set([2]))
    },

    'Several streams are appended to at once or not at all, and some may only be checked': async (open) => {
      const store = await open()
      await store.append('show/1', [{ type: 'Opened' }])
      const answers = await store.appendMany([
        { stream: 'seat/1', expected: 0, events: [{ type: 'Reserved' }] },
        { stream: 'show/1', expected: 1, events: [] },
        { stream: 'order/1', expected: 0, events: [{ type: 'Placed' }, { type: 'Paid' }] },
      ])
      assert.deepEqual(
        answers.map(({ stream, first, revision }) => [stream, first, revision]),
        [
          ['seat/1', 1, 1],
          ['order/1', 1, 2],
        ],
      )
      const stale = store.appendMany([
        { stream: 'seat/2', expected: 0, events: [{ type: 'Reserved' }] },
        { stream: 'show/1', expected: 0, events: [] },
      ])
      await assert.rejects(stale, { code: 'revision-conflict', stream: 'show/1', expected: 0, actual: 1 })
      assert.equal(await store.details('seat/2'), undefined)
    },

    'A decision read gives events and a condition, which fails once such an event has come': async (open) => {
      const store = await open()
      await store.append('order/1', [
        { type: 'Reserved', tags: ['seat:7'] },
        { type: 'Noted', tags: ['seat:7'] },
      ])
      const query = [{ types: ['Reserved', 'Freed'], tags: ['seat:7'] }]
      const { events, condition } = await store.readBoundary(query)
      assert.deepEqual(
        events.map(({ type, revision }) => [type, revision]),
        [['Reserved', 1]],
      )
      await store.append('order/2', [{ type: 'Freed', tags: ['seat:7'] }], { condition })
      const late = store.append('order/3', [{ type: 'Freed', tags: ['seat:7'] }], { condition })
      await assert.rejects(late, { code: 'condition-failed', stream: 'order/2', revision: 1 })
      await assert.rejects(store.append('order/3', [{ type: 'Reserved' }], { condition: { query } }), {
        code: 'condition-failed',
      })
      const after = await positionOf(store, 'order/2')
      await store.append('order/3', [{ type: 'Reserved', tags: ['seat:7'] }], { condition: { query, after } })
      await assert.rejects(store.append('order/4', [{ type: 'x' }], { condition: { query, after } }), {
        code: 'condition-failed',
      })
    },

    'Of many decisions on one boundary at once one is recorded': async (open) => {
      const stores = [await open(), await open()]
      const query = [{ types: ['Reserved'], tags: ['seat:7'] }]
      const rivals = range(1, 12).map(async (rival) => {
        const store = stores[rival % 2] ?? assert.fail()
        const { events, condition } = await store.readBoundary(query)
        if (events.length > 0) return false
        const reserved = [{ type: 'Reserved', tags: ['seat:7'] }]
        return store.append(`order/${rival}`, reserved, { condition }).then(
          () => true,
          (error) => assert.equal(error.code, 'condition-failed'),
        )
      })
      assert.equal((await Promise.all(rivals)).filter((won) => won === true).length, 1)
    },

    'What cannot be recorded exactly is refused with its place, and nothing is written': async (open) => {
      const store = await open()
      const cycle: unknown[] = []
      cycle.push(cycle)
      const refused: readonly (readonly [unknown, string])[] = [
        [Number.NaN, 'events[1].data'],
        [{ a: [1, Number.POSITIVE_INFINITY] }, 'events[1].data.a[1]'],
        [{ 'a b': 10n }, 'events[1].data["a b"]'],
        [{ at: new Date() }, 'events[1].data.at'],
        [{ text: '\ud800' }, 'events[1].data.text'],
        [[undefined], 'events[1].data[0]'],
        [{ map: new Map() }, 'events[1].data.map'],
        [() => 1, 'events[1].data'],
      ]
      for (const [data, path] of refused) {
        const events = [{ type: 'Good' }, { type: 'Bad', data }]
        await assert.rejects(store.append('seat/1', events), { code: 'invalid-argument', path })
      }
      await assert.rejects(store.append('seat/1', [{ type: 'Bad', data: cycle }]), {
        code: 'limit-exceeded',
        limit: 'jsonDepth',
      })
      assert.equal(await store.details('seat/1'), undefined)
    },

    'Names, ids, tags, types and expectations that break the rules are refused with their place': async (open) => {
      const store = await open()
      const event = { type: 'Happened' }
      const streams = [
        '',
        'seat',
        'seat/',
        '/1',
        'se at/1',
        'seat/a/b',
        'seat/.',
        'seat/..',
        'seat/a\n',
        `seat/${'x'.repeat(201)}`,
        '$x/1',
        `${'x'.repeat(65)}/1`,
        'seat/\ud800',
      ]
      for (const stream of streams) {
        await assert.rejects(store.append(stream, [event]), { code: 'invalid-argument' }, stream)
        await assert.rejects(store.details(stream), { code: 'invalid-argument' }, stream)
        assert.throws(() => store.read(stream), { code: 'invalid-argument' }, stream)
      }
      for (const stream of [`seat/${'🎫'.repeat(200)}`, 'seat/a b', 'seat/...', `${'x'.repeat(64)}/1`]) {
        await store.append(stream, [event])
      }
      const bad: readonly (readonly [object, string])[] = [
        [{ type: '' }, 'events[0].type'],
        [{ type: '$mine' }, 'events[0].type'],
        [{ type: 'a\u0000b' }, 'events[0].type'],
        [{ type: 'x'.repeat(201) }, 'events[0].type'],
        [{ type: 'A', id: '' }, 'events[0].id'],
        [{ type: 'A', id: 7 }, 'events[0].id'],
        [{ type: 'A', tags: ['good', ''] }, 'events[0].tags[1]'],
        [{ type: 'A', tags: 'ann' }, 'events[0].tags'],
        [{ type: 'A', meta: 'text' }, 'events[0].meta'],
        [{ type: 'A', meta: { occurredAt: 7 } }, 'events[0].meta.occurredAt'],
      ]
      for (const [event, path] of bad) {
        await assert.rejects(
          store.append('seat/1', [event as { type: string }]),
          { code: 'invalid-argument', path },
          path,
        )
      }
      for (const expected of [-1, 1.5, Number.NaN, 'new', null, '1']) {
        await assert.rejects(store.append('seat/1', [event], { expected: expected as number }), {
          code: 'invalid-argument',
        })
      }
      await assert.rejects(store.append('seat/1', []), { code: 'invalid-argument' })
      await assert.rejects(store.append('seat/1', Array(2)), { code: 'invalid-argument', path: 'events[0]' })
      const twice = [event, event].map((event) => ({ ...event, id: 'same' }))
      await assert.rejects(store.append('seat/1', twice), { code: 'invalid-argument' })
      const sameStream = { stream: 'seat/1', events: [event] }
      await assert.rejects(store.appendMany([sameStream, sameStream]), { code: 'invalid-argument' })
      const conditions = [
        { query: [] },
        { query: [{}] },
        { query: [{ tags: [''] }] },
        { query: [{ types: ['a'] }], after: -1 },
        { query: [{ types: ['a'] }], guard: 'nonsense' },
      ]
      for (const condition of conditions) {
        await assert.rejects(store.append('seat/1', [event], { condition }), { code: 'invalid-argument' })
      }
      assert.equal(await store.details('seat/1'), undefined)
    },

    'Every limit has a name, and what is over one is refused whole': async (open) => {
      const store = await open()
      const event = { type: 'Happened' }
      const over: readonly (readonly [string, () => Promise<unknown>])[] = [
        ['eventBytes', () => store.append('seat/1', [{ ...event, data: 'x'.repeat(limits.eventBytes) }])],
        ['appendEvents', () => store.append('seat/1', Array(limits.appendEvents + 1).fill(event))],
        [
          'appendBytes',
          () =>
            store.append(
              'seat/1',
              range(1, 5).map(() => ({ ...event, data: 'x'.repeat(900_000) })),
            ),
        ],
        ['eventTags', () => store.append('seat/1', [{ ...event, tags: range(0, limits.eventTags).map(String) }])],
        [
          'appendStreams',
          () =>
            store.appendMany(range(0, limits.appendStreams).map((id) => ({ stream: `seat/${id}`, events: [event] }))),
        ],
        ['queryItems', () => store.readBoundary(range(0, limits.queryItems).map((tag) => ({ tags: [String(tag)] })))],
      ]
      for (const [limit, run] of over) await assert.rejects(run(), { code: 'limit-exceeded', limit })
      assert.deepEqual(await store.streamTypes(), [])
    },

    'Schemas are asked before anything is written, and name the place that they refuse': async (open) => {
      const schema = {
        '~standard': {
          version: 1 as const,
          vendor: 'test',
          validate: (data: unknown) =>
            typeof (data as { by?: unknown })?.by === 'string'
              ? { value: data }
              : { issues: [{ message: 'must be a name', path: ['by'] }] },
        },
      }
      const store = await open({ schemas: { Reserved: schema } })
      await store.append('seat/1', [{ type: 'Reserved', data: { by: 'ann', more: 1 } }, { type: 'Anything' }])
      const refused = store.append('seat/1', [{ type: 'Anything' }, { type: 'Reserved', data: { by: 7 } }])
      await assert.rejects(refused, {
        code: 'schema-violation',
        path: 'events[1].data',
        eventType: 'Reserved',
        issues: [{ path: 'data.by', message: 'must be a name' }],
      })
      assert.deepEqual(
        (await collect(store.read('seat/1'))).map(({ data }) => data),
        [{ by: 'ann', more: 1 }, null],
      )
    },
  })
