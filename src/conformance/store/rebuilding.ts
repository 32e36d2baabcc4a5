/** Projections that follow the log, views that are built anew beside those in use, and what is done where a handler fails. */
import assert from 'node:assert/strict'
import { projection } from '../../core/projection.ts'
import type { Store } from '../../core/store.ts'
import { cases, range } from '../kit.ts'
import { type OpenStore, type StoreOpener, until } from './kit.ts'

type Told = { readonly type: 'Told'; readonly data: { readonly text: string; readonly to?: string } }
interface Heard {
  readonly texts: readonly string[]
}

const hear = (view: Heard | undefined, text: string): Heard => ({ texts: [...(view?.texts ?? []), text] })

/** One view for each person, of all that was told. */
const people = (version: number, lifecycle: 'inline' | 'async', made = (text: string) => text) =>
  projection<Told, Heard>()({
    name: 'people',
    version,
    lifecycle,
    streamTypes: ['person'],
    indexes: [{ name: 'first', equals: ['texts.0'] }],
    on: { Told: (view, { data }) => hear(view, made(data.text)) },
  })
/** Joined over streams: what several people told of one topic. In any order between them. */
const topics = (version: number, lifecycle: 'inline' | 'async') =>
  projection<Told, Heard>()({
    name: 'topics',
    version,
    lifecycle,
    key: ({ data }) => data.to,
    on: { Told: (view, { data }) => ({ texts: [...(view?.texts ?? []), data.text].sort() }) },
  })
const totals = (version: number, lifecycle: 'inline' | 'async') =>
  projection<Told, { readonly count: number }>()({
    name: 'totals',
    version,
    lifecycle,
    holds: 'totals',
    key: ({ data }) => data.to,
    on: { Told: (view, { data }) => ({ count: (view?.count ?? 0) + data.text.length }) },
  })
const upper = (text: string) => text.toUpperCase()

function tell(store: Store, person: number, text: string, to?: string) {
  return store.append<Told>(`person/${person}`, [{ type: 'Told', data: { text, ...(to && { to }) } }])
}

/** Twelve texts by three people about four topics. */
async function fill(store: Store, beginning = 't'): Promise<void> {
  for (const index of range(1, 12)) await tell(store, index % 3, `${beginning}${index}`, `k${index % 4}`)
}

async function all(store: Store, name: string, ids: readonly string[]): Promise<Readonly<Record<string, unknown>>> {
  const views = await Promise.all(ids.map((id) => store.views.get(name, id)))
  return Object.fromEntries(ids.map((id, index) => [id, views[index]]))
}

const persons = ['0', '1', '2', '3']
const keys = ['k0', 'k1', 'k2', 'k3', 'k4']

const caughtUp = (store: Store, name: string) =>
  until(async () => {
    const { head, lag } = await store.projections.status(name)
    return head > 0 && lag === 0
  })

export const rebuilding = (open: OpenStore) =>
  cases(open, {
    'An asynchronous view follows the log, and a reader can wait for what he has written': async (open) => {
      const store = await open({ projections: [people(1, 'async'), topics(1, 'async')] })
      const first = await tell(store, 1, 'a', 'x')
      store.projections.start()
      const after = { stream: 'person/1', revision: first.revision }
      assert.deepEqual(await store.views.get('people', '1', { after }), { texts: ['a'] })
      await tell(store, 2, 'b', 'x')
      const { revision } = await tell(store, 2, 'c')
      const later = { after: { stream: 'person/2', revision } }
      assert.deepEqual(await store.views.get('topics', 'x', later), { texts: ['a', 'b'] })
      const status = await store.projections.status('people')
      assert.deepEqual(
        [status.lifecycle, status.state, status.reads, status.parked, status.paused],
        ['async', 'active', 1, 0, false],
      )
    },

    'What nobody runs stands still, and goes on where it was': async (open) => {
      const store = await open({ projections: [people(1, 'async')] })
      await fill(store)
      const runner = store.projections.run('people')
      await caughtUp(store, 'people')
      await runner.stop()
      const before = await all(store, 'people', persons)
      await tell(store, 1, 'later')
      assert.deepEqual(await all(store, 'people', persons), before)
      const other = await open({ projections: [people(1, 'async')] })
      other.projections.start()
      await until(async () => (await other.views.get<Heard>('people', '1'))?.texts.at(-1) === 'later')
    },

    'Of several runners one works; each goes on for the other, and every event is in its view once': async (open) => {
      const [one, two] = [
        await open({ projections: [totals(1, 'async')] }),
        await open({ projections: [totals(1, 'async')] }),
      ]
      const runners = [one.projections.start({ termMs: 1_000 })]
      await Promise.all(range(1, 10).map((index) => tell(index % 2 ? one : two, index, 'x', 'all')))
      await until(async () => (await one.views.get<{ count: number }>('totals', 'all'))?.count === 10)
      runners.push(two.projections.start({ termMs: 1_000 }))
      await runners[0]?.stop()
      await Promise.all(range(1, 10).map((index) => tell(index % 2 ? one : two, index, 'x', 'all')))
      await until(async () => (await one.views.get<{ count: number }>('totals', 'all'))?.count === 20)
      await caughtUp(one, 'totals')
      assert.deepEqual(await one.views.get('totals', 'all'), { count: 20 })
    },

    'A pause holds from its answer on, in whichever process; resumed it goes on': async (open) => {
      const store = await open({ projections: [people(1, 'async')] })
      const other = await open({ projections: [people(1, 'async')] })
      store.projections.start()
      await tell(store, 1, 'a')
      await until(async () => (await store.views.get('people', '1')) !== undefined)
      await other.projections.pause('people')
      await tell(store, 1, 'b')
      await new Promise((resolve) => setTimeout(resolve, 100))
      assert.deepEqual(await store.views.get('people', '1'), { texts: ['a'] })
      assert.equal((await store.projections.status('people')).paused, true)
      await other.projections.resume('people')
      await until(async () => (await store.views.get<Heard>('people', '1'))?.texts.length === 2)
    },

    'Where a handler fails its entity is parked with the error; the others go on; mended it is replayed in order':
      async (open) => {
        const picky = (refused: string) =>
          projection<Told, Heard>()({
            ...people(1, 'async'),
            on: {
              Told(view, { data }) {
                if (data.text === refused) throw new Error(`cannot hear ${refused}`)
                return hear(view, data.text)
              },
            },
          })
        const store = await open({ projections: [picky('bad')] })
        const runner = store.projections.start()
        for (const text of ['a', 'bad', 'c']) await tell(store, 1, text)
        await tell(store, 2, 'x')
        await until(async () => (await store.projections.status('people')).parked === 1)
        await tell(store, 1, 'd')
        await tell(store, 2, 'y')
        await until(async () => (await store.views.get<Heard>('people', '2'))?.texts.length === 2)
        assert.deepEqual(await store.views.get('people', '1'), { texts: ['a'] })
        await until(async () => (await store.projections.parked('people')).parked[0]?.waiting === 2)
        const [parked] = (await store.projections.parked('people')).parked
        assert.deepEqual(
          [parked?.key, parked?.stream, parked?.revision, parked?.type, parked?.failure.message],
          ['1', 'person/1', 2, 'Told', 'cannot hear bad'],
        )
        for (const cursor of ['nowhere', '["",""]']) {
          const other = store.projections.parked('people', { cursor })
          await assert.rejects(other, { code: 'invalid-argument', path: 'cursor' })
        }
        assert.deepEqual(await store.projections.replayParked('people'), { replayed: 0, parked: 1 })
        await runner.stop()
        const mended = await open({ projections: [picky('nothing')] })
        mended.projections.start()
        assert.deepEqual(await mended.projections.replayParked('people', { key: '1' }), { replayed: 1, parked: 0 })
        await tell(mended, 1, 'e')
        await until(async () => (await mended.views.get<Heard>('people', '1'))?.texts.length === 5)
        assert.deepEqual(await mended.views.get('people', '1'), { texts: ['a', 'bad', 'c', 'd', 'e'] })
        assert.deepEqual((await mended.projections.parked('people')).parked, [])
      },

    'Forgetting takes a stream out of asynchronous views, which are made of the streams that remain': async (open) => {
      const store = await open({ projections: [people(1, 'async'), topics(1, 'async'), totals(1, 'async')] })
      store.projections.start()
      await fill(store)
      for (const name of ['people', 'topics', 'totals']) await caughtUp(store, name)
      const counted = await all(store, 'totals', keys)
      await store.forget('person/1', { reasonCode: 'asked' })
      assert.equal(await store.views.get('people', '1'), undefined)
      const { revision } = await tell(store, 2, 'after', 'k1')
      const after = { stream: 'person/2', revision }
      assert.deepEqual(await store.views.get('topics', 'k1', { after }), { texts: ['after', 't5', 't9'] })
      assert.deepEqual(await store.views.get('topics', 'k2', { after }), { texts: ['t2', 't6'] })
      assert.deepEqual({ ...(await all(store, 'totals', keys)), k1: 0 }, { ...counted, k1: 0 })
    },

    'A new version of an asynchronous projection is built beside the old one while writes go on, switched to and back':
      (open) => buildBeside(open, 'async'),

    'A new version of an inline projection is built beside the old one while writes go on, switched to and back': (
      open,
    ) => buildBeside(open, 'inline'),

    'All views can be dropped and built again, identical; one alone as well': async (open) => {
      const definitions = [people(1, 'async'), topics(1, 'inline'), totals(1, 'inline')]
      const store = await open({ projections: definitions })
      const runner = store.projections.run('people')
      await fill(store)
      await caughtUp(store, 'people')
      await runner.stop()
      const of = async () => [
        await all(store, 'people', persons),
        await all(store, 'topics', keys),
        await all(store, 'totals', keys),
      ]
      const before = await of()
      const names = definitions.map(({ name }) => name)
      for (const name of names) {
        await store.projections.drop(name)
        await assert.rejects(store.projections.status(name), { code: 'projection-not-found', projection: name })
      }
      for (const status of await Promise.all(names.map((name) => store.projections.rebuild(name)))) {
        assert.deepEqual([status.state, status.reads, status.lag], ['active', 1, 0], status.name)
      }
      assert.deepEqual(await of(), before)
      // Once more over what is there, and one view alone.
      await Promise.all(names.map((name) => store.projections.rebuild(name)))
      await store.projections.rebuild('people', { key: '1' })
      await store.projections.rebuild('topics', { key: 'k1' })
      assert.deepEqual(await of(), before)
      await tell(store, 1, 'after', 'k1')
      assert.deepEqual((await store.views.get<Heard>('topics', 'k1'))?.texts[0], 'after')
    },

    'An inline projection on a log that has events is built before it is read': async (open) => {
      const bare = await open()
      await fill(bare)
      const store = await open({ projections: [people(1, 'inline'), topics(1, 'inline'), totals(1, 'inline')] })
      await assert.rejects(store.views.get('people', '1'), { code: 'view-not-ready' })
      await tell(store, 1, 'meanwhile', 'k1')
      store.projections.start()
      for (const name of ['people', 'topics', 'totals']) {
        await until(async () => (await store.projections.status(name)).reads === 1)
      }
      await tell(store, 1, 'after', 'k1')
      assert.deepEqual(await store.views.get('people', '1'), { texts: ['t1', 't4', 't7', 't10', 'meanwhile', 'after'] })
      assert.deepEqual(await store.views.get('topics', 'k1'), { texts: ['after', 'meanwhile', 't1', 't5', 't9'] })
      assert.deepEqual(await store.views.get('totals', 'k1'), { count: 'aftermeanwhilet1t5t9'.length })
    },

    'Two that rebuild at once build it once, and both see the end': async (open) => {
      const definitions = [people(1, 'async'), people(2, 'async', upper)]
      const first = await open({ projections: definitions.slice(0, 1) })
      await fill(first)
      const both = [await open({ projections: definitions }), await open({ projections: definitions })]
      const ends = await Promise.all(both.map((store) => store.projections.rebuild('people')))
      for (const { reads } of ends) assert.equal(reads, 2)
      assert.deepEqual(await both[0]?.views.get('people', '1'), { texts: ['T1', 'T4', 'T7', 'T10'] })
    },

    'A process that knows an old version only is told so, and does not read what is not kept': async (open) => {
      const old = await open({ projections: [people(1, 'inline')] })
      await fill(old)
      assert.deepEqual(await old.views.get('people', '3'), undefined)
      const store = await open({ projections: [people(1, 'inline'), people(2, 'inline', upper)] })
      await store.projections.rebuild('people')
      await store.projections.drop('people', { version: 1 })
      await assert.rejects(old.views.get('people', '1'), {
        code: 'projection-missing',
        projection: 'people',
        version: 2,
      })
      await assert.rejects(tell(old, 1, 'x'), { code: 'projection-missing', projection: 'people', version: 2 })
      assert.deepEqual(await store.views.get('people', '1'), { texts: ['T1', 'T4', 'T7', 'T10'] })
    },

    'What makes no sense is refused, and changes nothing': async (open) => {
      const store = await open({ projections: [people(1, 'async')] })
      await fill(store)
      const { projections } = store
      for (const act of ['status', 'pause', 'rebuild', 'switch', 'drop', 'parked'] as const) {
        await assert.rejects(projections[act]('nobody'), { code: 'projection-not-found', projection: 'nobody' })
      }
      assert.throws(() => projections.run('nobody'), { code: 'projection-not-found' })
      await assert.rejects(projections.rebuild('people', { version: 7 }), { code: 'invalid-argument', path: 'version' })
      await assert.rejects(projections.switch('people', { version: 7 }), { code: 'invalid-argument', path: 'version' })
      await assert.rejects(projections.rollBack('people'), { code: 'invalid-argument' })
      await assert.rejects(projections.drop('people', { version: 7 }), { code: 'invalid-argument' })
      assert.throws(() => projections.start({ termMs: 1 }), { code: 'invalid-argument', path: 'termMs' })
      const clash = projection<Told, Heard>()({ ...people(1, 'async'), indexes: [] })
      await assert.rejects(open({ projections: [clash] }), {
        code: 'projection-clash',
        projection: 'people',
        version: 1,
      })
      assert.deepEqual(
        (await projections.list()).map(({ name, version }) => [name, version]),
        [['people', 1]],
      )
    },
  })

async function buildBeside(open: StoreOpener, lifecycle: 'inline' | 'async'): Promise<void> {
  const old = await open({ projections: [people(1, lifecycle)] })
  await fill(old)
  if (lifecycle === 'async') old.projections.start()
  const definitions = [people(1, lifecycle), people(2, lifecycle, upper)]
  const [store, other] = [await open({ projections: definitions }), await open({ projections: definitions })]
  if (lifecycle === 'async') other.projections.start()
  let writing = true
  let written = 0
  const writer = (async () => {
    while (writing) {
      await Promise.all([tell(store, 1, `a${written}`), tell(other, 2, `b${written}`), tell(other, 3, `c${written}`)])
      written++
    }
  })()
  await until(() => written > 2)
  const built = await store.projections.rebuild('people', { switch: 'by-hand' })
  assert.equal(built.reads, 1)
  const seen = written
  await until(() => written > seen + 2)
  assert.equal((await store.projections.switch('people')).reads, 2)
  await until(() => written > seen + 4)
  writing = false
  await writer
  await until(async () => (await store.views.get<Heard>('people', '3'))?.texts.length === written)
  if (lifecycle === 'async') for (const each of [store, other]) await caughtUp(each, 'people')
  const expected = (of: readonly string[], letter: string) => [
    ...of,
    ...Array.from({ length: written }, (_, index) => `${letter}${index}`),
  ]
  const third = { texts: expected([], 'c') }
  const first = { texts: expected(['t1', 't4', 't7', 't10'], 'a') }
  const capital = ({ texts }: Heard): Heard => ({ texts: texts.map(upper) })
  assert.deepEqual(await store.views.get('people', '1'), capital(first))
  assert.deepEqual(await store.views.get('people', '3'), capital(third))
  assert.equal((await store.projections.rollBack('people')).reads, 1)
  await until(async () => (await store.views.get<Heard>('people', '1'))?.texts.length === first.texts.length)
  assert.deepEqual(await store.views.get('people', '1'), first)
  // The first one was in use from the first event on: nobody had to build it, and it can be switched to by its number as well.
  for (const version of [2, 1, 2]) {
    const status = await store.projections.switch('people', { version })
    assert.deepEqual([status.reads, status.versions.map(({ whole }) => whole)], [version, [true, true]])
  }
  await store.projections.drop('people')
  assert.deepEqual(await store.views.get('people', '3'), capital(third))
  assert.deepEqual(
    (await store.projections.status('people')).versions.map(({ version }) => version),
    [2],
  )
}
