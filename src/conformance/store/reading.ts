/** Reading streams, the log and lists; subscriptions; old events read as new ones. */
import assert from 'node:assert/strict'
import type { Recorded } from '../../core/event.ts'
import type { Upcaster } from '../../core/upcaster.ts'
import { cases, positionsOf, range, revisionsOf } from '../kit.ts'
import { collect, type OpenStore, positionOf, type StoreOpener, until } from './kit.ts'

const at = (second: number) => new Date(Date.UTC(2026, 0, 1, 0, 0, second))

export const reading = (open: OpenStore) =>
  cases(open, {
    'A stream is read forwards and backwards, from a revision to a revision or an instant, up to a limit': async (
      open,
    ) => {
      const store = await timed(open)
      const read = async (options: object) => revisionsOf(await collect(store.read('seat/1', options)))
      assert.deepEqual(await read({}), range(1, 9))
      assert.deepEqual(await read({ after: 3, until: 6 }), [4, 5, 6])
      assert.deepEqual(await read({ direction: 'backwards', limit: 2 }), [9, 8])
      assert.deepEqual(await read({ direction: 'backwards', after: 3, until: 6 }), [6, 5, 4])
      assert.deepEqual(await read({ until: at(4) }), [1, 2, 3, 4])
      assert.deepEqual(await read({ until: at(4).toISOString(), direction: 'backwards', limit: 3 }), [4, 3, 2])
      assert.deepEqual(await read({ until: '2026-01-01T01:00:04.999999999+01:00' }), [1, 2, 3, 4])
      assert.deepEqual(await read({ until: at(0) }), [])
      assert.deepEqual(await read({ limit: 0 }), [])
      assert.deepEqual(await collect(store.read('seat/none')), [])
    },

    'A page tells the details of its stream and whether there is more': async (open) => {
      const store = await timed(open)
      const position = await positionOf(store, 'seat/1')
      const { details, events, more } = await store.readPage('seat/1', { after: 2, limit: 3 })
      assert.deepEqual(revisionsOf(events), [3, 4, 5])
      assert.equal(more, true)
      assert.deepEqual(details, {
        stream: 'seat/1',
        revision: 9,
        updatedAt: at(9).toISOString(),
        position,
        forgotten: false,
      })
      assert.deepEqual(await store.details('seat/1'), details)
      assert.deepEqual(await store.readPage('seat/none'), { events: [], more: false })
      assert.equal(await store.details('seat/none'), undefined)
    },

    'Ranges that make no sense are refused at the call': async (open) => {
      const store = await open()
      const bad = [
        { after: -1 },
        { after: 1.5 },
        { until: -1 },
        { until: 'yesterday' },
        { until: '2026-02-30T00:00:00Z' },
        { until: new Date(Number.NaN) },
        { until: '2026-01-01T00:00:00' },
        { direction: 'up' },
        { limit: -1 },
        { limit: 0.5 },
      ]
      for (const options of bad as object[]) {
        assert.throws(() => store.read('seat/1', options), { code: 'invalid-argument' })
        assert.throws(() => store.readLog(options), { code: 'invalid-argument' })
      }
      for (const limit of [0, 1_001]) {
        await assert.rejects(store.readPage('seat/1', { limit }), { code: 'invalid-argument' })
        await assert.rejects(store.readLogPage({ limit }), { code: 'invalid-argument' })
        await assert.rejects(store.streamsPage('seat', { limit }), { code: 'invalid-argument' })
      }
      assert.throws(() => store.readLog({ tags: [''] }), { code: 'invalid-argument' })
      assert.throws(() => store.subscribe({ streamTypes: ['not a type'] }), { code: 'invalid-argument' })
      assert.throws(() => store.streams('not a type'), { code: 'invalid-argument' })
    },

    'The least and the largest that a range may name are answered': async (open) => {
      const store = await open()
      await store.append('seat/1', [{ type: 'Reserved', tags: ['seat:1'] }])
      await positionOf(store, 'seat/1')
      const most = Number.MAX_SAFE_INTEGER
      const [first, last] = [new Date(0), '9999-12-31T23:59:59.999Z']
      const ranges = [
        { is: range(1, 1), options: [{}, { until: most }, { until: last }, { asOf: last }, { limit: most }] },
        { is: [], options: [{ until: 0 }, { until: first }, { after: 1, until: 1 }, { asOf: first }, { limit: 0 }] },
      ]
      for (const direction of ['forwards', 'backwards'] as const) {
        for (const { is, options } of ranges) {
          for (const option of options) {
            const told = `${direction} ${JSON.stringify(option)}`
            assert.deepEqual(revisionsOf(await collect(store.read('seat/1', { ...option, direction }))), is, told)
            assert.deepEqual(positionsOf(await collect(store.readLog({ ...option, direction }))), is, told)
          }
        }
        for (const until of [undefined, 0, most, first, last]) {
          const options = { after: most, direction, ...(until !== undefined && { until }) }
          const { details, events, more } = await store.readPage('seat/1', { ...options, limit: 1 })
          assert.deepEqual([details?.revision, events, more], [1, [], false])
          assert.deepEqual(await collect(store.read('seat/1', options)), [])
        }
      }
      const listed = async (updatedAfter: string | Date) =>
        (await collect(store.streams('seat', { updatedAfter }))).length
      assert.deepEqual([await listed(first), await listed(last)], [1, 0])
      await assert.rejects(store.readLogPage({ after: most }), { code: 'position-beyond-head' })
      await assert.rejects(store.readBoundaryPage([{ tags: ['seat:1'] }], { after: most }), {
        code: 'position-beyond-head',
      })
    },

    'The log is read whole, filtered, backwards, to a position or an instant': async (open) => {
      const store = await timed(open)
      await store.append('show/1', [{ type: 'Opened', tags: ['gala'] }])
      await positionOf(store, 'show/1')
      const read = async (options: object) => positionsOf(await collect(store.readLog(options)))
      assert.deepEqual(await read({}), range(1, 10))
      assert.deepEqual(await read({ after: 7, direction: 'backwards' }), [10, 9, 8])
      assert.deepEqual(await read({ until: 3 }), [1, 2, 3])
      assert.deepEqual(await read({ until: at(3) }), [1, 2, 3])
      assert.deepEqual(await read({ streamTypes: ['show'] }), [10])
      assert.deepEqual(await read({ types: ['Opened'], tags: ['gala'] }), [10])
      assert.deepEqual(await read({ limit: 4 }), [1, 2, 3, 4])
      const page = await store.readLogPage({ after: 2, limit: 3 })
      assert.deepEqual([positionsOf(page.entries), page.head, page.scannedTo, page.more], [[3, 4, 5], 10, 5, true])
    },

    'A checkpoint beyond the head, or of another log, is an error and never an empty page': async (open) => {
      const store = await timed(open)
      await positionOf(store, 'seat/1')
      const { logId } = await store.info()
      assert.equal((await store.readLogPage({ after: 9, logId })).entries.length, 0)
      const beyond = { code: 'position-beyond-head', position: 10, head: 9 }
      await assert.rejects(store.readLogPage({ after: 10 }), beyond)
      await assert.rejects(collect(store.readLog({ after: 10 })), beyond)
      await assert.rejects(collect(store.subscribe({ after: 10 })), beyond)
      const foreign = { code: 'foreign-log', logId: 'another', actual: logId }
      await assert.rejects(store.readLogPage({ logId: 'another' }), foreign)
      await assert.rejects(collect(store.subscribe({ logId: 'another' })), foreign)
    },

    'Streams are listed by type, least recently updated first, from an instant on': async (open) => {
      const store = await timed(open)
      await store.append('seat/2', [{ type: 'Reserved' }])
      await positionOf(store, 'seat/2')
      const list = async (options: object) =>
        (await collect(store.streams('seat', options))).map(({ stream }) => stream)
      assert.deepEqual(await list({}), ['seat/1', 'seat/2'])
      assert.deepEqual(await list({ updatedAfter: at(10) }), ['seat/2'])
      assert.deepEqual(await list({ updatedAfter: '2026-01-01T00:00:10.000000001Z' }), [])
      const first = await store.streamsPage('seat', { limit: 1 })
      assert.deepEqual(
        first.streams.map(({ stream }) => stream),
        ['seat/1'],
      )
      const second = await store.streamsPage('seat', { limit: 1, ...(first.next && { cursor: first.next }) })
      assert.deepEqual([second.streams.map(({ stream }) => stream), second.next], [['seat/2'], undefined])
      assert.deepEqual(await store.streamTypes(), ['seat'])
    },

    'A subscription gives what is there, says that it has caught up, and goes on with what comes': async (open) => {
      const store = await timed(open)
      await positionOf(store, 'seat/1')
      const ended = new AbortController()
      const caughtUp: number[] = []
      const seen: Recorded[] = []
      const subscription = store.subscribe({
        after: 3,
        signal: ended.signal,
        onCaughtUp: (position) => caughtUp.push(position),
      })
      const following = (async () => {
        for await (const entry of subscription) if (!entry.forgotten) seen.push(entry)
      })()
      await until(() => caughtUp.length > 0)
      assert.deepEqual([positionsOf(seen), caughtUp], [range(4, 9), [9]])
      await store.append('seat/1', [{ type: 'Reserved' }, { type: 'Reserved' }])
      await until(() => seen.length === 8)
      const other = await open()
      await other.append('seat/2', [{ type: 'Reserved' }])
      await until(() => caughtUp.at(-1) === 12)
      assert.deepEqual(positionsOf(seen), range(4, 12))
      ended.abort()
      await following
    },

    'A filtered subscription moves on past what it leaves out, and says so': async (open) => {
      const store = await timed(open)
      const ended = new AbortController()
      let caughtUp = 0
      const seen: unknown[] = []
      const following = (async () => {
        const options = {
          types: ['Wanted'],
          tags: ['x'],
          signal: ended.signal,
          onCaughtUp: (position: number) => {
            caughtUp = position
          },
        }
        for await (const { position } of store.subscribe(options)) seen.push(position)
      })()
      await until(() => caughtUp === 9)
      await store.append('seat/1', [
        { type: 'Wanted' },
        { type: 'Wanted', tags: ['x'] },
        { type: 'Other', tags: ['x'] },
      ])
      await until(() => caughtUp === 12)
      assert.deepEqual(seen, [11])
      ended.abort()
      await following
    },

    'A signal that has aborted ends every call with its reason, and nothing is written': async (open) => {
      const store = await timed(open)
      const signal = AbortSignal.abort(new Error('enough'))
      const counter = {
        initialState: () => 0,
        evolve: (count: number) => count + 1,
        decide: () => [{ type: 'Counted' }],
      }
      const query = [{ types: ['Reserved'] }]
      const calls = [
        () => store.append('seat/1', [{ type: 'Late' }], { signal }),
        () => store.appendMany([{ stream: 'seat/1', events: [{ type: 'Late' }] }], { signal }),
        () => store.readPage('seat/1', { signal }),
        () => collect(store.read('seat/1', { signal })),
        () => store.readLogPage({ signal }),
        () => collect(store.readLog({ signal })),
        () => store.streamsPage('seat', { signal }),
        () => collect(store.streams('seat', { signal })),
        () => store.readBoundary(query, { signal }),
        () => store.readBoundaryPage(query, { signal }),
        () => store.load('seat/1', counter, { signal }),
        () => store.execute(counter, 'seat/1', 'count', { signal }),
        () => store.forget('seat/1', { reasonCode: 'asked', signal }),
      ]
      for (const call of calls) await assert.rejects(call(), { message: 'enough' }, String(call))
      assert.deepEqual(await collect(store.subscribe({ signal })), [])
      assert.equal((await store.details('seat/1'))?.revision, 9)
    },

    'A subscription that is told to end says nothing more': async (open) => {
      const store = await timed(open)
      await positionOf(store, 'seat/1')
      const ended = new AbortController()
      const told: unknown[] = []
      for await (const entry of store.subscribe({ signal: ended.signal, onCaughtUp: (at) => told.push(at) })) {
        told.push(entry.revision)
        ended.abort()
      }
      assert.deepEqual(told, [1])
    },

    'Leaving the loop ends a subscription, and so does closing the store': async (open) => {
      const store = await timed(open)
      assert.equal((await collect(store.subscribe(), 3)).length, 3)
      const following = collect(store.subscribe())
      await store.close()
      await following
      await assert.rejects(store.append('seat/1', [{ type: 'Late' }]), { code: 'store-closed' })
      await assert.rejects(store.details('seat/1'), { code: 'store-closed' })
      await store.close()
    },

    'Subscribers of every filter see each event once and in order while many write': async (open) => {
      const store = await open()
      const ended = new AbortController()
      const follow = async (filter: object, total: number) => {
        const seen: string[] = []
        for await (const { stream, revision } of store.subscribe({ ...filter, signal: ended.signal })) {
          seen.push(`${stream} ${revision}`)
          if (seen.length === total) return seen
        }
        return seen
      }
      const followers = [
        follow({}, 640),
        follow({ streamTypes: ['seat'] }, 320),
        follow({ types: ['Odd'] }, 320),
        follow({ tags: ['t1'] }, 20),
      ]
      const writers = range(1, 32).map(async (writer) => {
        for (const turn of range(1, 20)) {
          const stream = `${turn % 2 ? 'seat' : 'show'}/${writer}`
          await store.append(stream, [{ type: turn % 2 ? 'Odd' : 'Even', tags: [`t${writer}`] }])
        }
      })
      await Promise.all(writers)
      for (const seen of await Promise.all(followers)) {
        assert.equal(new Set(seen).size, seen.length)
        for (const stream of new Set(seen.map((key) => key.split(' ')[0]))) {
          const revisions = seen.filter((key) => key.startsWith(`${stream} `)).map((key) => Number(key.split(' ')[1]))
          assert.deepEqual(revisions, range(1, revisions.length))
        }
      }
      ended.abort()
    },

    'Old events are read as new ones, by whatever way, and filters for the new name find them': async (open) => {
      const old = await open()
      await old.append('seat/1', [
        { type: 'SeatTaken', data: { name: 'Ann Lee' }, tags: ['seat:1'] },
        { type: 'Reserved', data: { by: 'bob' } },
      ])
      await positionOf(old, 'seat/1')
      const upcasters: readonly Upcaster[] = [
        { type: 'SeatTaken', to: 'Reserved', data: ({ data }) => ({ by: (data as { name: string }).name }) },
        {
          type: 'Reserved',
          when: ({ data }) => !('vip' in (data as object)),
          data: ({ data }) => ({ ...(data as object), vip: false }),
        },
      ]
      const store = await open({ upcasters })
      const told = (events: readonly unknown[]) => (events as Recorded[]).map(({ type, data }) => [type, data])
      const ann = ['Reserved', { by: 'Ann Lee', vip: false }]
      const bob = ['Reserved', { by: 'bob', vip: false }]
      assert.deepEqual(told(await collect(store.read('seat/1'))), [ann, bob])
      assert.deepEqual(told(await collect(store.readLog({ types: ['Reserved'] }))), [ann, bob])
      assert.deepEqual(told(await collect(store.readLog({ types: ['SeatTaken'] }))), [])
      assert.deepEqual(told(await collect(store.subscribe({ types: ['Reserved'] }), 2)), [ann, bob])
      const query = [{ types: ['Reserved'], tags: ['seat:1'] }]
      assert.deepEqual(told((await store.readBoundary(query)).events), [ann])
      await assert.rejects(store.append('seat/2', [{ type: 'x' }], { condition: { query } }), {
        code: 'condition-failed',
      })
    },
  })

/** seat/1 with nine events, recorded at the seconds 1 to 9; what comes later is recorded at second 10. */
async function timed(open: StoreOpener) {
  let second = 0
  const store = await open({ clock: () => at(second).getTime() })
  for (second = 1; second <= 9; second++) await store.append('seat/1', [{ type: 'Reserved', data: { second } }])
  return store
}
