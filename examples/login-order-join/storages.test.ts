/** Order, snapshots, trims and races, on every storage: what went wrong in the system that this one replaces, and must not. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { OpenStorage } from 'daybook/conformance'
import { folderObjects } from 'daybook/objects/folder'
import { afterAll, describe, expect, type TestContext, test, vi } from 'vitest'
import { missingDynamo } from '../../test/engines/dynamodb.ts'
import { missingPostgres } from '../../test/engines/postgres.ts'
import { dynamodb, memory, postgres, sqlite } from '../../test/engines/storages.ts'
import { type CallerOptions, callerOf, created, type JoinCaller, loggedIn, ordered } from './caller.ts'
import { takeSnapshot } from './upkeep.ts'

const engines: Readonly<
  Record<string, { readonly open: () => OpenStorage; readonly missing?: () => string | undefined }>
> = {
  memory: { open: memory },
  SQLite: { open: sqlite },
  PostgreSQL: { open: postgres, missing: missingPostgres },
  DynamoDB: { open: dynamodb, missing: missingDynamo },
}

const folder = mkdtempSync(join(tmpdir(), 'daybook-join-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const times = (count: number) => Array.from({ length: count }, (_, index) => index)
const begun = Date.UTC(2026, 0, 31, 9, 30)
const lateness = 60_000

for (const [name, { open, missing }] of Object.entries(engines)) {
  const lack = missing?.()
  describe.skipIf(lack !== undefined)(`${name}${lack ? ` (${lack})` : ''}`, () => {
    const openStorage = open()
    // They wait more than they work.
    const held = test.concurrent

    /** Applications on one log and one archive, as several processes would run them. */
    async function start({ onTestFinished }: TestContext, options: CallerOptions = {}) {
      const setting = { name: `case-${crypto.randomUUID()}`, clock: options.clock ?? Date.now }
      const objects = folderObjects(join(folder, setting.name))
      const callers = [
        await callerOf(await openStorage(setting), { objects, ...options }),
        await callerOf(await openStorage(setting), { objects, ...options }),
      ]
      onTestFinished(async () => {
        for (const { store } of callers) await store.close()
      })
      const [caller, other] = callers as [JoinCaller, JoinCaller]
      return { caller, other }
    }
    const send = async (caller: JoinCaller, body: unknown) => {
      const { status, body: answer } = await caller.post('events', body)
      expect([status, answer]).toEqual([200, expect.anything()])
      return answer
    }
    const snapshot = (caller: JoinCaller, id: string) => takeSnapshot(caller.store, caller.join.views.settled, id)
    const orders = (count: number) => ({ name: '**NOT SET**', lastLogin: 0, recentOrderCount: count })
    const archived = async ({ store }: JoinCaller) => {
      const { segments } = await store.archive.segments({ streamType: 'user' })
      return segments.reduce((sum, segment) => sum + ('events' in segment ? segment.events : 0), 0)
    }

    held(
      'an event of a lower sequence and a younger timestamp is neither skipped nor trimmed away',
      async (context) => {
        let now = begun
        const { caller } = await start(context, { clock: () => now })
        // The first producer's clock is ahead of the second one's.
        await send(caller, [ordered('ann', begun + 50_000), ordered('ann', begun - 20_000)])
        now = begun + lateness + 1
        expect(await snapshot(caller, 'ann')).toBe(2)
        await caller.store.archive.run()
        expect(await archived(caller)).toBe(1)
        expect(await caller.user('ann')).toEqual({ id: 'ann', ...orders(2), snapshotSequence: 2 })
        await send(caller, ordered('ann', now))
        expect(await caller.user('ann')).toEqual({ id: 'ann', ...orders(3), snapshotSequence: 2 })
      },
    )

    held('only what nothing can come before any more enters a snapshot, by the time of recording', async (context) => {
      let now = begun
      const { caller } = await start(context, { clock: () => now })
      expect(await snapshot(caller, 'nobody')).toBe(undefined)
      // By its producer's clock it is of long ago.
      await send(caller, [ordered('ann', begun - 3_600_000)])
      now += lateness
      expect(await snapshot(caller, 'ann')).toBe(undefined)
      await send(caller, [loggedIn('ann', now), loggedIn('ann', now - 10)])
      now++
      expect([await snapshot(caller, 'ann'), await snapshot(caller, 'ann')]).toEqual([1, 1])
      // Late, and yet before what came first.
      await send(caller, [loggedIn('ann', begun + 1)])
      expect(await caller.user('ann')).toMatchObject({ lastLogin: begun + lateness, snapshotSequence: 1 })
      now += lateness
      expect(await snapshot(caller, 'ann')).toBe(3)
      expect(await caller.store.views.get(caller.join.views.settled, 'ann')).toEqual({
        lastLogin: begun + lateness,
        recentOrderCount: 1,
      })
    })

    held('a user of whom a part never came is snapshot, and goes on as any other', async (context) => {
      let now = begun
      const { caller } = await start(context, { clock: () => now })
      await send(caller, [ordered('ann', now), loggedIn('bob', now)])
      now += lateness + 1
      expect([await snapshot(caller, 'ann'), await snapshot(caller, 'bob')]).toEqual([1, 1])
      await send(caller, [created('ann', now), ordered('bob', now)])
      expect(await caller.user('ann')).toMatchObject({ name: 'ann', lastLogin: 0, recentOrderCount: 1 })
      expect(await caller.user('bob')).toMatchObject({ name: '**NOT SET**', lastLogin: begun, recentOrderCount: 1 })
    })

    held(
      'more than a megabyte and more than 25 events are joined and trimmed; the event at the boundary stays',
      async (context) => {
        let now = begun
        const { caller, other } = await start(context, { clock: () => now })
        const heavy = times(30).map((index) => ({ ...ordered('ann', now + index), note: 'x'.repeat(40_000) }))
        await send(caller, heavy)
        await send(caller, [created('ann', now + 1)])
        expect(await caller.user('ann')).toMatchObject({ name: 'ann', recentOrderCount: 30 })
        expect(await caller.store.archive.run()).toEqual([{ streamType: 'user', events: 0, segments: 0 }])
        now += lateness + 1
        expect(await snapshot(caller, 'ann')).toBe(31)
        await Promise.all([caller.store.archive.run(), other.store.archive.run()])
        expect(await archived(other)).toBe(30)
        expect((await caller.store.readPage('user/ann', { after: 30 })).events.map(({ type }) => type)).toEqual([
          'user-created',
        ])
        expect(await other.store.views.get(other.join.views.settled, 'ann')).toEqual({
          name: 'ann',
          recentOrderCount: 30,
        })
        // All of it is there still: in the archive, and in what a repeat is known by.
        expect((await caller.store.readPage('user/ann', { limit: 3 })).events.map(({ data }) => data)).toEqual(
          heavy.slice(0, 3),
        )
        expect(await send(caller, heavy[7])).toEqual({ recorded: 0, repeated: 1, dropped: 0 })
        await send(caller, ordered('ann', now))
        expect(await caller.user('ann')).toMatchObject({ recentOrderCount: 31, snapshotSequence: 31 })
      },
    )

    held('a long request is recorded in its order', async (context) => {
      const { caller } = await start(context)
      const events = times(130).map((index) => ordered(index % 5 === 0 ? 'bob' : 'ann', begun + index))
      expect(await send(caller, events)).toEqual({ recorded: 130, repeated: 0, dropped: 0 })
      for (const id of ['ann', 'bob']) {
        const recorded = (await caller.store.readPage(`user/${id}`, { limit: 1_000 })).events.map(({ data }) => data)
        expect(recorded).toEqual(events.filter(({ order }) => order.userId === id))
      }
    })

    held('events to read have a snapshot taken and then a trim, by jobs', async (context) => {
      const settings = { latenessMs: 100, snapshotEvery: 10 }
      const { caller } = await start(context, { settings, works: true })
      await send(
        caller,
        times(9).map(() => ordered('few', Date.now())),
      )
      await send(
        caller,
        times(25).map(() => ordered('ann', Date.now())),
      )
      // How many of them the first snapshot finds settled depends on how quick the machine is.
      await vi.waitFor(async () => {
        const { snapshotSequence } = (await caller.user('ann')) as { readonly snapshotSequence?: number }
        expect(snapshotSequence).toBeGreaterThanOrEqual(10)
        expect(await archived(caller)).toBe(Number(snapshotSequence) - 1)
      }, 20_000)
      expect(await caller.user('ann')).toMatchObject({ recentOrderCount: 25 })
      expect(await caller.user('few')).toEqual({ id: 'few', ...orders(9) })
      await vi.waitFor(async () => {
        const { jobs } = await caller.store.jobs.list({ state: 'done' })
        expect(new Set(jobs.map(({ kind }) => kind))).toEqual(new Set(['user-snapshot', 'user-trim']))
      }, 20_000)
    })

    held(
      'what comes while its user is forgotten is recorded before that or dropped, and leaves nothing',
      async (context) => {
        const { caller, other } = await start(context)
        await send(caller, created('ann', Date.now()))
        const [, ...answers] = await Promise.all([
          caller.store.forget('user/ann', { reasonCode: 'asked' }),
          ...times(6).map((index) => send(index % 2 ? caller : other, ordered('ann', Date.now()))),
        ])
        const recorded = answers.filter((answer) => answer?.['recorded'] === 1).length
        expect(answers.filter((answer) => answer?.['dropped'] === 1).length).toBe(6 - recorded)
        expect((await other.store.details('user/ann'))?.revision).toBe(recorded + 2)
        await vi.waitFor(async () => expect((await other.get('users/ann')).status).toBe(404), 20_000)
        expect(await snapshot(other, 'ann')).toBe(undefined)
      },
    )

    held(
      'one batch sent by several producers at once is recorded once, while others snapshot and trim',
      async (context) => {
        const { caller, other } = await start(context, { settings: { latenessMs: 0, snapshotEvery: 5 }, works: true })
        const batch = times(30).map((index) => ordered(index % 3 === 0 ? 'bob' : 'ann', Date.now()))
        const answers = await Promise.all([caller, other, caller, other].map((one) => send(one, batch)))
        const sum = (key: string) => answers.reduce((total, answer) => total + Number(answer?.[key]), 0)
        expect([sum('recorded'), sum('repeated'), sum('dropped')]).toEqual([30, 90, 0])
        const [first] = batch
        expect((await caller.post('events', { ...first, timestamp: 1 })).body).toMatchObject({
          details: { id: first?.id },
        })
        await send(other, loggedIn('ann', Date.now()))
        expect(await caller.user('ann')).toMatchObject({ recentOrderCount: 20 })
        expect(await other.user('bob')).toMatchObject({ recentOrderCount: 10 })
        for (const id of ['ann', 'bob']) {
          await snapshot(caller, id)
          expect(await other.store.views.get(other.join.views.settled, id)).toMatchObject({
            recentOrderCount: id === 'ann' ? 20 : 10,
          })
        }
      },
    )
  })
}
