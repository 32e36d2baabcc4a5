/** Event types that are declared: what is taken then, and what can be declared. */
import assert from 'node:assert/strict'
import type { EventTypeDeclaration } from '../../core/event-type.ts'
import type { Store } from '../../core/store.ts'
import { cases, range } from '../kit.ts'
import { collect, type OpenStore, positionOf, until } from './kit.ts'

export const person = {
  type: 'object',
  properties: { name: { type: 'string', minLength: 1 }, age: { type: 'integer' } },
  required: ['name'],
  additionalProperties: false,
}
export const registered = { type: 'Registered', version: 1, schema: person } as const
/** Of version 2: the name in parts, and a country. */
const inParts = {
  type: 'object',
  properties: { name: { type: 'object', required: ['full'] }, country: { type: 'string' } },
  required: ['name', 'country'],
}
export const secondVersion: EventTypeDeclaration = {
  ...{ type: 'Registered', version: 2, schema: inParts },
  upcast: [{ move: '/name', to: '/name/full' }, { default: '/country', value: 'NL' }, { remove: '/age' }],
}
export const ann = { type: 'Registered', data: { name: 'Ann', age: 40 } }
export const bob = { type: 'Registered', data: { name: { full: 'Bob' }, country: 'BE' } }

export const refused = (path: string, ...issues: readonly object[]) => ({
  ...{ code: 'schema-violation', path, eventType: 'Registered' },
  ...(issues.length > 0 && { issues }),
})

export async function dataOf(store: Store, stream: string, options: object = {}): Promise<readonly unknown[]> {
  return (await collect(store.read(stream, options))).map(({ data }) => data)
}

export const declaring = (open: OpenStore) =>
  cases(open, {
    'Events of a declared type are recorded as its schema wants them, or not at all, and the place is named': async (
      open,
    ) => {
      const store = await open()
      await store.eventTypes.declare(registered)
      await store.append('person/1', [ann, { type: 'Anything', data: 7 }])
      await assert.rejects(
        store.append('person/1', [{ type: 'Anything' }, { type: 'Registered', data: { name: '', nick: 1, age: 1.5 } }]),
        refused(
          'events[1].data',
          { path: 'data', message: 'must NOT have additional properties: "nick"' },
          { path: 'data.age', message: 'must be integer' },
          { path: 'data.name', message: 'must NOT have fewer than 1 characters' },
        ),
      )
      const appends = [
        { stream: 'person/2', events: [ann] },
        { stream: 'person/3', events: [{ type: 'Registered' }] },
      ]
      const issue = { path: 'data', message: 'must be object' }
      await assert.rejects(store.appendMany(appends), refused('appends[1].events[0].data', issue))
      assert.deepEqual(await dataOf(store, 'person/1'), [ann.data, 7])
      assert.equal(await store.details('person/2'), undefined)
      // What is left out counts as left out.
      await store.append('person/4', [{ type: 'Registered', data: { name: 'Eve', nick: undefined } }])
    },

    'A declaration holds for every process within 5 s, and for one that opens at once': async (open) => {
      const [store, other] = [await open(), await open()]
      await other.append('person/0', [{ type: 'Registered', data: { name: 'Old' } }])
      await store.eventTypes.declare(registered)
      const declared = performance.now()
      const opened = await open()
      await assert.rejects(opened.append('person/1', [{ type: 'Registered' }]), refused('events[0].data'))
      let tries = 0
      await until(async () => {
        const outcome = await other.append(`person/${++tries}`, [{ type: 'Registered' }]).catch((error) => error)
        return outcome.code === 'schema-violation'
      })
      assert.ok(performance.now() - declared < 5_000)
    },

    'The same declaration again changes nothing; another one of the version is a clash; what is said of it may change':
      async (open) => {
        const store = await open()
        const first = await store.eventTypes.declare(registered)
        assert.deepEqual(first, {
          ...{ type: 'Registered', version: 1, retired: false },
          versions: [{ version: 1, schema: person }],
        })
        assert.deepEqual(await store.eventTypes.declare(registered), first)
        const clashes = [
          { ...registered, schema: { ...person, required: [] } },
          { ...registered, upcast: [] },
          { ...registered, streamTypes: ['person'] },
        ]
        for (const [index, clash] of clashes.entries()) {
          const field = ['schema', 'upcast', 'streamTypes'][index]
          await assert.rejects(store.eventTypes.declare(clash), { code: 'definition-clash', field })
        }
        assert.deepEqual(await store.eventTypes.get('Registered'), first)
        const described = await store.eventTypes.declare({ ...registered, description: 'Somebody has come' })
        assert.equal(described.versions[0]?.description, 'Somebody has come')
        assert.deepEqual(await store.eventTypes.list(), [described])
        assert.equal(await store.eventTypes.get('Unknown'), undefined)
      },

    'What cannot be declared is told, and changes nothing': async (open) => {
      const store = await open()
      const schema = { type: 'object' }
      const table: readonly (readonly [string, object])[] = [
        ['type', { type: '$mine', version: 1, schema }],
        ['type', { type: '', version: 1, schema }],
        ['version', { type: 'A', version: 0, schema }],
        ['version', { type: 'A', version: 2, schema }],
        ['schema', { type: 'A', version: 1 }],
        ['schema', { type: 'A', version: 1, schema: 'object' }],
        ['schema.properties.by.type', { type: 'A', version: 1, schema: { properties: { by: { type: 'text' } } } }],
        ['schema', { type: 'A', version: 1, schema: { requierd: ['by'] } }],
        ['schema', { type: 'A', version: 1, schema: { format: 'datum' } }],
        ['schema', { type: 'A', version: 1, schema: { pattern: '(' } }],
        ['schema', { type: 'A', version: 1, schema: { $ref: 'https://example.com/seat.json' } }],
        ['schema', { type: 'A', version: 1, schema: { $ref: '#/$defs/seat' } }],
        ['schema', { type: 'A', version: 1, schema: { allOf: [{ $ref: '#' }] } }],
        ['schema.$schema', { type: 'A', version: 1, schema: { $schema: 'http://json-schema.org/draft-07/schema#' } }],
        ['schema.$async', { type: 'A', version: 1, schema: { $async: true } }],
        ['upcast[0]', { type: 'A', version: 1, schema, upcast: [{ rename: '/a' }] }],
        ['upcast[1].remove', { type: 'A', version: 1, schema, upcast: [{ remove: '/a' }, { remove: 'a' }] }],
        ['upcast[0].to', { type: 'A', version: 1, schema, upcast: [{ move: '/list/*/a', to: '/a' }] }],
        ['streamTypes', { type: 'A', version: 1, schema, streamTypes: [] }],
        ['streamTypes[0]', { type: 'A', version: 1, schema, streamTypes: ['a/b'] }],
        ['description', { type: 'A', version: 1, schema, description: 7 }],
      ]
      for (const [path, declaration] of table) {
        const declared = async () => store.eventTypes.declare(declaration as EventTypeDeclaration)
        await assert.rejects(declared(), { code: 'invalid-argument', path }, JSON.stringify(declaration))
      }
      assert.deepEqual(await store.eventTypes.list(), [])
      await assert.rejects(store.eventTypes.retire('A'), { code: 'event-type-not-found', eventType: 'A' })
    },

    'What JSON Schema 2020-12 has is there: references within, formats, notes, what is unevaluated': async (open) => {
      const store = await open()
      await store.eventTypes.declare({
        ...{ type: 'Registered', version: 1 },
        schema: {
          $schema: 'https://json-schema.org/draft/2020-12/schema',
          $id: 'https://example.com/registered',
          $defs: { born: { type: 'string', format: 'date' }, tree: { properties: { left: { $ref: '#/$defs/tree' } } } },
          'x-owner': 'team people',
          allOf: [{ properties: { born: { $ref: '#/$defs/born' } } }, { $ref: '#/$defs/tree' }],
          properties: { toString: { type: 'integer' } },
          unevaluatedProperties: false,
        },
      })
      const append = (data: object) => store.append('person/1', [{ type: 'Registered', data }])
      await append({ born: '1990-02-28', left: { left: {} }, toString: 1 })
      await append({})
      for (const data of [{ born: '1990-02-30' }, { right: 1 }, { left: { left: 1, right: { born: 1 } }, more: 1 }]) {
        await assert.rejects(append(data), refused('events[0].data'), JSON.stringify(data))
      }
    },

    'A type may be kept to streams of some types, and be retired; a new version brings it back': async (open) => {
      const store = await open()
      await store.eventTypes.declare({ ...registered, streamTypes: ['person', 'staff'] })
      await store.append('staff/1', [ann])
      const misplaced = { path: 'stream', message: 'must be of type person or staff, and is "order/1"' }
      await assert.rejects(store.append('order/1', [ann]), refused('events[0]', misplaced))
      assert.equal((await store.eventTypes.retire('Registered')).retired, true)
      assert.equal((await store.eventTypes.retire('Registered')).retired, true)
      const retired = { path: 'type', message: 'is retired: no event of it can be written any more' }
      await assert.rejects(store.append('person/1', [ann]), refused('events[0]', retired))
      assert.deepEqual(await dataOf(store, 'staff/1'), [ann.data])
      const declared = await store.eventTypes.declare({ ...registered, streamTypes: ['person', 'staff'] })
      assert.equal(declared.retired, true)
      await store.eventTypes.declare({ ...registered, version: 2 })
      await store.append('order/1', [ann])
    },

    'The stamp is set by the store alone; the other meta is anybody’s': async (open) => {
      const store = await open()
      const stamped = { ...ann, meta: { $version: 1 } }
      const stampRefused = { code: 'invalid-argument', path: 'events[0].meta.$version' }
      await assert.rejects(store.append('person/1', [stamped]), stampRefused)
      await store.append('person/1', [{ ...ann, meta: { $correlationId: 'c' } }])
    },

    'A decider’s events are checked as all are, and answered as a reader gets them': async (open) => {
      const store = await open()
      await store.eventTypes.declare(registered)
      const decider = {
        initialState: () => 0,
        evolve: (count: number) => count + 1,
        decide: (data: object) => [{ type: 'Registered', data }],
      }
      const { events } = await store.execute(decider, 'person/1', ann.data)
      const position = await positionOf(store, 'person/1')
      assert.deepEqual(
        events.map((event) => ({ ...event, position })),
        await collect(store.read('person/1')),
      )
      await assert.rejects(store.execute(decider, 'person/1', {}), refused('events[0].data'))
    },

    'A tombstone is no event to be checked': async (open) => {
      const store = await open()
      await store.eventTypes.declare({ ...registered, upcast: [{ default: '/name', value: '?' }] })
      await store.append('person/1', [ann])
      await store.forget('person/1', { reasonCode: 'asked', tombstone: { type: 'Registered' } })
      assert.deepEqual(await dataOf(store, 'person/1'), [null])
    },

    'Many who declare at once all have their way, and of rivals for a version one': async (open) => {
      const stores = [await open(), await open()]
      const types = range(1, 6).map((index) => `Type ${index}`)
      const declare = (type: string, index: number) =>
        (stores[index % 2] ?? assert.fail()).eventTypes.declare({ type, version: 1, schema: true })
      await Promise.all([...types, ...types].map(declare))
      const [store = assert.fail()] = stores
      assert.deepEqual(
        (await store.eventTypes.list()).map(({ type }) => type),
        types,
      )
      const rivals = await Promise.allSettled(
        ['a', 'b', 'c'].map((title, index) =>
          (stores[index % 2] ?? store).eventTypes.declare({ type: 'Rival', version: 1, schema: { title } }),
        ),
      )
      assert.deepEqual(rivals.map(({ status }) => status).sort(), ['fulfilled', 'rejected', 'rejected'])
    },

    'A store opened for reading only reads in the newest form, and declares nothing': async (open) => {
      const store = await open()
      await store.eventTypes.declare(registered)
      await store.append('person/1', [ann])
      await store.eventTypes.declare(secondVersion)
      const reader = await open({ readOnly: true })
      assert.deepEqual(await dataOf(reader, 'person/1'), [{ name: { full: 'Ann' }, country: 'NL' }])
      await assert.rejects(reader.eventTypes.declare(registered), { code: 'store-read-only' })
      await assert.rejects(reader.eventTypes.retire('Registered'), { code: 'store-read-only' })
      assert.equal((await reader.eventTypes.list()).length, 1)
    },
  })
