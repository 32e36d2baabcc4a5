/** Versions of declared event types: how one follows another, how old events come up to it, what a repeat meets. */
import assert from 'node:assert/strict'
import type { Meta, NewEvent, Recorded } from '../../core/event.ts'
import { cases } from '../kit.ts'
import { ann, bob, dataOf, person, refused, registered, secondVersion } from './event-types.ts'
import { collect, type OpenStore, positionOf, until } from './kit.ts'

export const versioning = (open: OpenStore) =>
  cases(open, {
    'Old events are read in the form of the newest version, by whatever way, and as they were recorded where asked':
      async (open) => {
        const store = await open()
        const noted = { type: 'Noted', meta: { correlationId: 'c' }, tags: ['seat:1'] }
        await store.append('person/1', [{ type: 'Registered', data: { name: 'Old' } }, noted])
        await store.eventTypes.declare(registered)
        await store.append('person/1', [{ ...ann, tags: ['seat:1'], meta: { correlationId: 'c' } }])
        await store.eventTypes.declare(secondVersion)
        await store.append('person/1', [bob])
        await positionOf(store, 'person/1')

        const formed = [
          { name: { full: 'Old' }, country: 'NL' },
          null,
          { name: { full: 'Ann' }, country: 'NL' },
          bob.data,
        ]
        const told = (events: readonly unknown[]) => (events as Recorded[]).map(({ data }) => data)
        assert.deepEqual(await dataOf(store, 'person/1'), formed)
        assert.deepEqual(told((await store.readPage('person/1')).events), formed)
        assert.deepEqual(told(await collect(store.readLog())), formed)
        assert.deepEqual(told((await store.readLogPage()).entries), formed)
        assert.deepEqual(told(await collect(store.subscribe(), 4)), formed)
        assert.deepEqual(told((await store.readBoundary([{ tags: ['seat:1'] }])).events), formed.slice(1, 3))
        const { state } = await store.load('person/1', {
          initialState: (): readonly unknown[] => [],
          evolve: (state, event) => [...state, event.data],
        })
        assert.deepEqual(state, formed)

        const recorded = [{ name: 'Old' }, null, ann.data, bob.data]
        assert.deepEqual(await dataOf(store, 'person/1', { raw: true }), recorded)
        assert.deepEqual(told((await store.readPage('person/1', { raw: true })).events), recorded)
        assert.deepEqual(told(await collect(store.readLog({ raw: true }))), recorded)
        assert.deepEqual(told((await store.readLogPage({ raw: true })).entries), recorded)
        assert.deepEqual(told(await collect(store.subscribe({ raw: true }), 4)), recorded)

        const metaOf = async (options: object) =>
          (await collect(store.read('person/1', options))).map(({ meta }) => meta)
        const correlated: Meta = { correlationId: 'c' }
        assert.deepEqual(await metaOf({}), [null, correlated, correlated, null])
        const stamps = [null, correlated, { ...correlated, $version: 1 }, { $version: 2 }]
        assert.deepEqual(await metaOf({ raw: true }), stamps)
      },

    'New events are held to the newest version': async (open) => {
      const store = await open()
      await store.eventTypes.declare(registered)
      await store.eventTypes.declare(secondVersion)
      await assert.rejects(
        store.append('person/1', [ann]),
        refused(
          'events[0].data',
          { path: 'data', message: "must have required property 'country'" },
          { path: 'data.name', message: 'must be object' },
        ),
      )
      await store.append('person/1', [bob])
    },

    'A reader that has not heard of a version yet asks for it when an event of it comes': async (open) => {
      const [store, other] = [await open(), await open()]
      await store.eventTypes.declare(registered)
      await store.append('person/1', [ann])
      await until(async () => (await other.eventTypes.list()).length === 1)
      await store.eventTypes.declare(secondVersion)
      await store.append('person/1', [bob])
      assert.deepEqual(await dataOf(other, 'person/1'), [{ name: { full: 'Ann' }, country: 'NL' }, bob.data])
    },

    'The first version looks at the events that are there, unless it says how they come up to it': async (open) => {
      const store = await open()
      await store.append('person/1', [{ type: 'Registered', data: { name: 'Ann' } }, { type: 'Noted' }])
      await store.append('person/1', [{ type: 'Registered', data: 'Bob' }])
      await positionOf(store, 'person/1')
      await assert.rejects(store.eventTypes.declare(registered), (error: Error & { code: string; path: string }) => {
        assert.deepEqual([error.code, error.path], ['invalid-argument', 'upcast'])
        assert.match(error.message, /revision 3 of "person\/1", data: must be object/)
        return true
      })
      assert.deepEqual(await store.eventTypes.list(), [])
      await store.append('person/1', [{ type: 'Registered' }])
      await store.eventTypes.declare({ ...registered, upcast: [{ default: '/name', value: '?' }] })
      assert.deepEqual(await dataOf(store, 'person/1'), [{ name: 'Ann' }, null, 'Bob', { name: '?' }])
      await store.eventTypes.declare({ type: 'Noted', version: 1, schema: { type: 'null' } })
    },

    'A later version takes all that the one before took, or says how it comes up to it': async (open) => {
      const store = await open()
      await store.eventTypes.declare(registered)
      const wider = { ...person, properties: { ...person.properties, nick: { type: 'string' } } }
      await store.eventTypes.declare({ type: 'Registered', version: 2, schema: wider })
      const stricter = { type: 'Registered', version: 3, schema: { ...wider, required: ['name', 'nick'] } }
      await assert.rejects(store.eventTypes.declare(stricter), (error: Error & { code: string; path: string }) => {
        assert.deepEqual([error.code, error.path], ['invalid-argument', 'upcast'])
        assert.match(error.message, /data\.nick is required now/)
        return true
      })
      assert.equal((await store.eventTypes.get('Registered'))?.version, 2)
      await store.append('person/1', [ann])
      assert.equal((await store.eventTypes.declare({ ...stricter, upcast: [] })).version, 3)
      assert.deepEqual(await dataOf(store, 'person/1'), [ann.data])
    },

    'A repeat is answered as it was recorded, whatever was declared since; what is new is not taken for one': async (
      open,
    ) => {
      const store = await open()
      const event = (id: string, data: unknown = ann.data): NewEvent => ({ type: 'Registered', id, data })
      const before = [event('a'), { type: 'Noted', id: 'b' }, event('c')]
      await store.append('person/1', before)
      await store.append('person/2', [event('d')], { expected: 0 })
      await store.eventTypes.declare(registered)
      const under = [
        { stream: 'person/1', events: [event('e'), event('f')] },
        { stream: 'person/3', events: [event('g')], expected: 0 },
      ]
      await store.appendMany(under)
      await store.eventTypes.declare(secondVersion)

      const repeated = async (answer: Promise<{ repeated: boolean; revision: number }>) => {
        const { repeated, revision } = await answer
        return [repeated, revision]
      }
      assert.deepEqual(await repeated(store.append('person/1', before)), [true, 3])
      assert.deepEqual(await repeated(store.append('person/1', before, { expected: 0 })), [true, 3])
      assert.deepEqual(await repeated(store.append('person/2', [event('d')], { expected: 0 })), [true, 1])
      const answers = await store.appendMany(under)
      assert.deepEqual(
        answers.map(({ repeated, revision }) => [repeated, revision]),
        [
          [true, 5],
          [true, 1],
        ],
      )
      // Refused by version 2, and not in the log: new, with other content, with a part of an append alone.
      await assert.rejects(store.append('person/1', [event('new')]), refused('events[0].data'))
      await assert.rejects(store.append('person/1', [event('d', { name: 'Eve' })]), refused('events[0].data'))
      // Taken by version 2, and an id of another event.
      await assert.rejects(store.append('person/2', [event('d', bob.data)], { expected: 0 }), {
        code: 'event-id-reused',
      })
      // Taken by both: only the stamp differs.
      const wide = { type: 'Noted', version: 1, schema: true }
      await store.eventTypes.declare(wide)
      await store.append('note/1', [
        { type: 'Noted', id: 'n1' },
        { type: 'Other', id: 'n2' },
      ])
      await store.eventTypes.declare({ ...wide, version: 2 })
      const again = [
        { type: 'Noted', id: 'n1' },
        { type: 'Other', id: 'n2' },
      ]
      assert.deepEqual(await repeated(store.append('note/1', again)), [true, 2])
      assert.equal((await store.details('person/1'))?.revision, 5)
    },

    'The upcasters of a store get the newest form': async (open) => {
      const store = await open()
      await store.eventTypes.declare(registered)
      await store.append('person/1', [ann])
      await store.eventTypes.declare(secondVersion)
      const upcasting = await open({
        upcasters: [{ type: 'Registered', to: 'Came', data: ({ data }) => (data as { name: unknown }).name }],
      })
      assert.deepEqual(await dataOf(upcasting, 'person/1'), [{ full: 'Ann' }])
      const [came] = await collect(upcasting.read('person/1', { raw: true }))
      assert.deepEqual([came?.type, came?.data], ['Registered', ann.data])
    },
  })
