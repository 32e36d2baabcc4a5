/** Races, replay and search, on every storage: the same promises on each. */
import type { Storage } from 'daybook'
import type { OpenStorage } from 'daybook/conformance'
import { describe, expect, type TestContext, test, vi } from 'vitest'
import { missingDynamo } from '../../test/engines/dynamodb.ts'
import { missingPostgres } from '../../test/engines/postgres.ts'
import { dynamodb, memory, postgres, sqlite } from '../../test/engines/storages.ts'
import type { Answer, Caller } from '../web/caller.ts'
import { callerOf } from './caller.ts'
import { adStream } from './domain.ts'

interface Engine {
  readonly open: () => OpenStorage
  readonly missing?: () => string | undefined
  /** At once. */
  readonly rivals: number
  /** Of each ad, that its search takes. */
  readonly words?: number
}

const engines: Readonly<Record<string, Engine>> = {
  memory: { open: memory, rivals: 16 },
  SQLite: { open: sqlite, rivals: 16 },
  PostgreSQL: { open: postgres, missing: missingPostgres, rivals: 16 },
  DynamoDB: { open: dynamodb, missing: missingDynamo, rivals: 6, words: 35 },
}

const lamp = { adTitle: 'Lamp', adDescription: '', price: 40, currency: 'EUR', category: 'lights', tags: [] }
const times = (count: number) => Array.from({ length: count }, (_, index) => index)
const idOf = ({ text }: Answer) => text.split(' ')[3] as string
const statuses = (answers: readonly Answer[]) => answers.map(({ status }) => status).toSorted()

for (const [name, { open, missing, rivals, words }] of Object.entries(engines)) {
  const lack = missing?.()
  describe.skipIf(lack !== undefined)(`${name}${lack ? ` (${lack})` : ''}`, () => {
    const openStorage = open()
    const held = name === 'DynamoDB' ? test.concurrent : test

    /** Applications of one store, as several processes would run them; and the storage under the first. */
    async function start({ onTestFinished }: TestContext, draw?: () => string) {
      const setting = { name: `case-${crypto.randomUUID()}`, clock: Date.now }
      const options = { ...(words !== undefined && { words }), ...(draw && { draw }) }
      const storage: Storage = await openStorage(setting)
      const callers = [await callerOf(storage, options), await callerOf(await openStorage(setting), options)]
      onTestFinished(async () => {
        for (const { store } of callers) await store.close()
      })
      const [caller = callers[0] as Caller] = callers
      return { caller, one: (index: number) => callers[index % 2] ?? caller, storage }
    }
    const create = async (caller: Caller, content: object = lamp) => {
      const answer = await caller.post('/publisher/acme/ad', content)
      expect([answer.status, answer.text]).toEqual([200, expect.anything()])
      return idOf(answer)
    }
    const rowsAt = async (caller: Caller, path: string) =>
      (await caller.get(path)).body as unknown as readonly Record<string, unknown>[]
    const patch = (caller: Caller, adId: string, body: object, key?: string) =>
      caller.send('PATCH', `/publisher/acme/ad/${adId}`, { body, key })

    held('two creations that draw one id make two ads', async (context) => {
      const taken = '00000000-0000-4000-8000-000000000001'
      const drawn = [taken, taken, taken]
      const { caller, one } = await start(context, () => drawn.shift() ?? crypto.randomUUID())
      const ids = (await Promise.all(times(3).map((index) => one(index).post('/publisher/acme/ad', lamp)))).map(idOf)
      expect(new Set(ids).size).toBe(3)
      expect((await rowsAt(caller, '/publisher/acme/ad')).map(({ adId }) => adId)).toEqual(ids.toSorted())
    })

    held('of updates of one ad at once each is recorded, and none undoes another', async (context) => {
      const { caller, one } = await start(context)
      const adId = await create(caller)
      const changes = times(rivals).map((rival) =>
        [{ adTitle: `Lamp ${rival}` }, { price: rival }, { tags: [`tag ${rival}`] }, { category: `other ${rival}` }].at(
          rival % 4,
        ),
      )
      const answers = await Promise.all(changes.map((change, rival) => patch(one(rival), adId, change ?? {})))
      expect(statuses(answers)).toEqual(times(rivals).map(() => 200))
      const rows = await rowsAt(caller, `/replay/${adId}`)
      expect(rows.map(({ version }) => version)).toEqual(times(rivals + 1))
      for (const [index, row] of rows.entries()) {
        const before = rows[index - 1]
        const changed = before ? Object.keys(lamp).filter((field) => `${row[field]}` !== `${before[field]}`) : []
        expect(changed.length).toBe(index === 0 ? 0 : 1)
      }
      for (const change of changes) expect(rows.some((row) => Object.entries(change ?? {}).every(isIn(row)))).toBe(true)
    })

    held('an update at the same time as the deletion comes before it or is refused', async (context) => {
      const { caller, one } = await start(context)
      const adId = await create(caller)
      const path = `/publisher/acme/ad/${adId}`
      const answers = await Promise.all(
        times(rivals).map((rival) =>
          rival === rivals >> 1 ? one(rival).send('DELETE', path) : patch(one(rival), adId, { price: rival }),
        ),
      )
      expect(answers[rivals >> 1]?.status).toBe(200)
      const won = answers.filter(({ status }) => status === 200).length
      expect(new Set([200, 400, ...statuses(answers)])).toEqual(new Set([200, 400]))
      const rows = await rowsAt(caller, `${path}?versions=true`)
      expect(rows.length).toBe(won + 1)
      expect(rows.map(({ deleted = false }) => deleted)).toEqual([...times(won).map(() => false), true])
      expect((await caller.get(path)).status).toBe(404)
      expect((await patch(caller, adId, { price: 1 })).status).toBe(400)
    })

    held('a request that is repeated at once under one Idempotency-Key is done once', async (context) => {
      const { caller, one } = await start(context)
      const created = await Promise.all(
        times(rivals).map((index) => one(index).post('/publisher/acme/ad', lamp, 'create')),
      )
      const [adId = ''] = [...new Set(created.map(idOf))]
      const updates = await Promise.all(times(rivals).map((index) => patch(one(index), adId, { price: 1 }, 'update')))
      expect(new Set([...created, ...updates].map(({ status, text }) => `${status} ${text}`)).size).toBe(2)
      expect((await rowsAt(caller, `/replay/${adId}`)).length).toBe(2)
    })

    held('search finds an ad from its creation on, as it is, and never one that is deleted', async (context) => {
      const { one } = await start(context)
      const found = async (index: number, q: string) => (await rowsAt(one(index), `/?q=${q}`)).map(({ adId }) => adId)
      for (const round of times(3)) {
        const adId = await create(one(round), { ...lamp, tags: [`round ${round}`] })
        expect(await found(round + 1, `lamp+round+${round}`)).toEqual([adId])
        await patch(one(round), adId, { adTitle: 'Torch' })
        expect(await found(round, `lamp+round+${round}`)).toEqual([])
        expect(await found(round + 1, `torch+round+${round}`)).toEqual([adId])
        await one(round + 1).send('DELETE', `/publisher/acme/ad/${adId}`)
        for (const index of [0, 1]) expect(await found(index, `torch+round+${round}`)).toEqual([])
      }
    })

    held('an ad of many words is found by each, also after all of them were replaced', async (context) => {
      const { caller } = await start(context)
      const described = (beginning: string) =>
        times(150)
          .map((word) => `${beginning}${word}`)
          .join(' ')
      const many = { ...lamp, tags: times(20).map((tag) => `tag${tag}`), adDescription: described('early') }
      const adId = await create(caller, many)
      await create(caller)
      const found = async (q: string) => (await rowsAt(caller, `/?q=${q}`)).map(({ adId }) => adId)
      expect([await found('early149+lamp'), await found('tag19+early3')]).toEqual([[adId], [adId]])
      const replaced = await patch(caller, adId, { ...many, adDescription: described('late'), tags: ['new'] }, 'key')
      expect([replaced.status, replaced.text]).toEqual([200, expect.anything()])
      expect([await found('late149+lamp'), await found('new+late3')]).toEqual([[adId], [adId]])
      expect([await found('early149'), await found('tag19')]).toEqual([[], []])
      const paged = await rowsAt(caller, '/?q=lamp&limit=1')
      expect([paged.length, (await rowsAt(caller, '/?q=lamp')).length]).toEqual([1, 2])
    })

    held('ads that were lost from the state store are replayed, one or all, and no deleted one', async (context) => {
      const { caller, one, storage } = await start(context)
      const ids = [await create(caller), await create(caller), await create(caller)]
      const [first = '', second = '', deleted = ''] = ids
      await patch(one(1), first, { price: 1 })
      await caller.send('DELETE', `/publisher/acme/ad/${deleted}`)
      const path = `/publisher/acme/ad/${first}`
      const ad = (await caller.get(path)).body
      // Where positions come later than events.
      await vi.waitFor(async () => expect((await rowsAt(caller, '/replay')).length).toBe(5), 30_000)
      let step = await storage.erase({ erase: 'collection', collection: 'ads@1' })
      while (!step.done) {
        const { cursor } = step
        step = await storage.erase({
          erase: 'collection',
          collection: 'ads@1',
          ...(cursor !== undefined && { cursor }),
        })
      }
      expect((await caller.get(path)).status).toBe(404)
      expect((await rowsAt(caller, `${path}?versions=true`)).map(({ version }) => version)).toEqual([0, 1])
      expect((await caller.post(`/replay/${first}`)).body).toEqual({ restored: 1 })
      expect((await caller.post(`/replay/${deleted}`)).body).toEqual({ restored: 0 })
      expect((await caller.get(path)).body).toEqual(ad)
      expect((await rowsAt(caller, '/?q=lamp')).map(({ adId }) => adId)).toEqual([first])
      expect((await caller.post('/replay')).body).toEqual({ restored: 2 })
      const listed = await rowsAt(one(1), '/publisher/acme/ad')
      expect(listed.map(({ adId }) => adId)).toEqual([first, second].toSorted())
      await patch(caller, first, { price: 2 })
      expect((await caller.get(path)).body).toEqual({ ...ad, price: 2 })
      expect((await caller.store.details(adStream(first)))?.revision).toBe(3)
    })
  })
}

function isIn(row: Readonly<Record<string, unknown>>) {
  return ([field, value]: readonly [string, unknown]) => JSON.stringify(row[field]) === JSON.stringify(value)
}
