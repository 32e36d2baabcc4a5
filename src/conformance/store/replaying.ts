/** Replay that is kept: one view put back, or views beside those in use under a label. */
import assert from 'node:assert/strict'
import type { EventOf } from '../../core/event.ts'
import { projection } from '../../core/projection.ts'
import type { Store } from '../../core/store.ts'
import { cases, range } from '../kit.ts'
import { collect, type OpenStore, positionOf, until } from './kit.ts'

type AccountEvent = EventOf<{ Opened: { owner: string }; Paid: { amount: number }; Closed: null }>
interface Account {
  readonly owner: string
  readonly balance: number
}
const inline = projection<AccountEvent, Account>()({
  name: 'accounts',
  lifecycle: 'inline',
  streamTypes: ['account'],
  on: {
    Opened: (_, { data }) => ({ owner: data.owner, balance: 0 }),
    Paid: (account, { data }) => account && { ...account, balance: account.balance + data.amount },
    Closed: () => undefined,
  },
  indexes: [
    { name: 'by-balance', equals: [], order: 'balance' },
    { name: 'owner', equals: ['owner'], unique: true },
  ],
})
const async = { ...inline, name: 'later', lifecycle: 'async' as const }
const totals = projection<AccountEvent, { paid: number }>()({
  name: 'totals',
  lifecycle: 'inline',
  holds: 'totals',
  key: () => 'all',
  on: { Paid: (all = { paid: 0 }, { data }) => ({ paid: all.paid + data.amount }) },
})
const live = { ...inline, name: 'seen', lifecycle: 'live' as const, indexes: [] }

const paid = (amount: number) => ({ type: 'Paid', data: { amount } })
const opened = (owner: string) => ({ type: 'Opened', data: { owner } })

/** A second passes before each step. */
async function fill(store: Store, tick: () => void): Promise<void> {
  for (const id of range(1, 3)) {
    tick()
    await store.append(`account/${id}`, [opened(`owner ${id}`), paid(id)])
  }
  tick()
  await store.append('account/1', [paid(10)])
  tick()
  await store.append('account/2', [{ type: 'Closed' }])
  for (const id of range(1, 3)) await positionOf(store, `account/${id}`)
}

export const replaying = (open: OpenStore) =>
  cases(open, {
    'All views as of an instant lie under a label, are read there, and go when they are dropped': async (open) => {
      let now = 0
      const tick = () => {
        now += 1_000
      }
      const store = await open({ projections: [inline, async, totals, live], clock: () => now })
      await fill(store, tick)
      const told: number[] = []
      const onProgress = ({ position, of }: { position: number; of: number }) => told.push(position, of)
      for (const view of [inline, async, live]) {
        const report = await store.projections.replay(view, { at: new Date(3_000), as: 'before', onProgress })
        assert.deepEqual(report, { view: `${view.name}~before`, views: 3 })
        assert.deepEqual(await store.views.get(report.view, '2'), { owner: 'owner 2', balance: 2 })
        assert.deepEqual(await store.views.get(report.view, '1'), { owner: 'owner 1', balance: 1 })
        await store.append('account/3', [paid(100)])
        assert.deepEqual(await store.views.get(report.view, '3'), { owner: 'owner 3', balance: 3 })
      }
      assert.deepEqual(told.slice(-2), [told.at(-1), told.at(-1)])
      const { views } = await store.views.query('accounts~before', { index: 'by-balance', direction: 'backwards' })
      assert.deepEqual(
        views.map(({ id }) => id),
        ['3', '2', '1'],
      )
      await store.projections.replay(totals, { at: new Date(4_000), as: 'v1.0' })
      assert.deepEqual(await store.views.get('totals~v1.0', 'all'), { paid: 16 })
      assert.equal((await store.views.get(inline, '1'))?.balance, 11)
      const labels = await store.projections.replays(inline)
      assert.deepEqual(labels, [
        { name: 'accounts', label: 'before', version: 1, at: '1970-01-01T00:00:03.000Z', state: 'done', views: 3 },
      ])
      const taken = { code: 'invalid-argument', path: 'as' }
      await assert.rejects(store.projections.replay(inline, { as: 'before' }), taken)
      await store.projections.dropReplay(inline, 'before')
      const gone = { code: 'projection-not-found', projection: 'accounts~before' }
      await assert.rejects(store.views.get('accounts~before', '1'), gone)
      assert.deepEqual(await store.projections.replays(inline), [])
      // The label is free again, with nothing of what lay under it.
      await store.projections.replay(inline, { at: new Date(1_000), as: 'before' })
      assert.equal(await store.views.get('accounts~before', '2'), undefined)
    },

    'One view lies under a label as it was, also of an entity that was deleted': async (open) => {
      let now = 0
      const store = await open({ projections: [inline, async], clock: () => now })
      await fill(store, () => {
        now += 1_000
      })
      assert.equal(await store.views.get(inline, '2'), undefined)
      await store.projections.replay('accounts', { id: '2', at: 2, as: 'was' })
      assert.deepEqual(await store.views.get('accounts~was', '2'), { owner: 'owner 2', balance: 2 })
      assert.equal(await store.views.get('accounts~was', '1'), undefined)
      await store.projections.replay('later', { id: '1', from: 1, at: 2, as: 'part' })
      assert.deepEqual(await store.views.get('later~part', '1'), { owner: 'owner 1', balance: 1 })
      await store.forget('account/2', { reasonCode: 'asked' })
      assert.equal(await store.views.get('accounts~was', '2'), undefined)
    },

    'One view is put back to what it was, and goes on from there': async (open) => {
      let now = 0
      const store = await open({ projections: [inline, async], clock: () => now })
      const runner = store.projections.start()
      await fill(store, () => {
        now += 1_000
      })
      for (const view of [inline, async]) {
        const { name } = view
        const balance = async () => (await store.views.get<Account>(name, '1'))?.balance
        await until(async () => (await balance()) === 11)
        assert.deepEqual(await store.projections.replay(view, { id: '1', at: 2 }), { view: name, views: 1 })
        assert.equal(await balance(), 1)
        await store.projections.replay(view, { id: '2', at: new Date(2_000) })
        assert.equal((await store.views.get<Account>(name, '2'))?.balance, 2)
      }
      const { revision } = await store.append('account/1', [paid(5)])
      for (const { name } of [inline, async]) {
        const view = await store.views.get<Account>(name, '1', { after: { stream: 'account/1', revision } })
        assert.equal(view?.balance, 6)
        await store.projections.replay(name, { id: '1' })
        assert.equal((await store.views.get<Account>(name, '1'))?.balance, 16)
      }
      // What it was needs a value that another has taken since.
      await store.append('account/4', [opened('owner 9')])
      await store.append('account/3', [opened('owner 4')])
      await store.append('account/4', [opened('owner 3')])
      await assert.rejects(store.projections.replay(inline, { id: '3', at: 2 }), { code: 'document-conflict' })
      await runner.stop()
    },

    'What a handler throws is told with its event, however the view is made anew': async (open) => {
      const failing = {
        ...inline,
        lifecycle: 'live' as const,
        indexes: [],
        on: { ...inline.on, Paid: () => assert.fail('no payment is taken') },
      }
      const bare = await open()
      await fill(bare, () => {})
      const store = await open({ projections: [failing] })
      const failed = { code: 'projection-failed', projection: 'accounts', stream: 'account/1', revision: 2 }
      await assert.rejects(store.views.get('accounts', '1'), failed)
      await assert.rejects(store.views.get('accounts', '1', { at: 2 }), failed)
      await assert.rejects(store.projections.replay('accounts', { id: '1', as: 'one' }), failed)
      await assert.rejects(store.projections.replay('accounts', { as: 'all' }), failed)
    },

    'A replay that makes no sense is refused, and changes nothing': async (open) => {
      let now = 0
      const byTime = { ...async, name: 'by-time', indexes: [], latenessMs: 10 }
      const store = await open({ projections: [inline, totals, live, byTime], clock: () => now })
      await fill(store, () => {
        now += 1_000
      })
      const { replay, dropReplay } = store.projections
      const refused = (asked: Promise<unknown>, path: string, code = 'invalid-argument') =>
        assert.rejects(asked, (error: Error & { code: string; path?: string }) => {
          assert.deepEqual([error.code, error.path], [code, path])
          return true
        })
      await refused(replay(inline, { at: new Date(3_000) }), 'id')
      await refused(replay(inline, { at: 3, as: 'x' }), 'at')
      await refused(replay(inline, { id: '1', at: 9, as: 'x' }), 'at')
      await refused(replay(inline, { id: '1', at: new Date(1) }), 'at')
      await refused(replay(inline, { id: '1', at: new Date(now + 1) }), 'at')
      await refused(replay(inline, { at: new Date(1), as: 'x' }), 'at')
      await refused(replay(inline, { id: '', as: 'x' }), 'id')
      await refused(replay(inline, { id: '1', as: 'a~b' }), 'as')
      await refused(replay(inline, { id: '1', as: 'x'.repeat(17) }), 'as')
      await refused(replay(live, { id: '1' }), 'view')
      await refused(replay(byTime, { id: '1', at: 1 }), 'view')
      await refused(dropReplay(inline, 'x'), 'label')
      await assert.rejects(replay('none', { as: 'x' }), { code: 'projection-not-found' })
      await assert.rejects(store.views.get('accounts~x', '1'), { code: 'projection-not-found' })
      await replay(inline, { id: '1', at: 1, as: 'x' }).then(() => {}, assert.fail)
      await refused(replay('accounts~x', { id: '1', as: 'y' }), 'view')
      await refused(store.views.get('accounts~x', '1', { at: 1 }), 'at')
      assert.equal((await store.views.get(inline, '1'))?.balance, 11)
      assert.equal((await collect(store.read('account/1'))).length, 3)
    },
  })
