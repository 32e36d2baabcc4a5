import { beforeEach, describe, expect, test } from 'vitest'
import { fill, gdpr, masterKey, newShop, placed } from './fixtures/shop.ts'
import { openStore } from './store.ts'
import type { Subjects } from './subject.ts'

let shop: ReturnType<typeof newShop>
beforeEach(() => {
  shop = newShop()
})
const bare = () => shop.bare()
const open: ReturnType<typeof newShop>['open'] = (...all) => shop.open(...all)

describe('finding subjects', () => {
  test('what was recorded before it was declared whom it concerns is told, found once it is looked for, and forgotten then', async () => {
    {
      await using store = await openStore(bare(), { encryption: { masterKey } })
      await fill(store)
    }
    {
      // Of orders the wrong field was declared at first.
      const wrong: Subjects = { events: { OrderPlaced: { subject: 'customer/{/customer/id}', fields: ['/total'] } } }
      await using store = await open({ subjects: wrong })
      await store.append('order/3', [placed('44', 'Di')])
    }
    await using store = await open()
    await store.append('order/4', [placed('44', 'Di')])
    const first = await store.forget({ subject: 'customer/42', ...gdpr })
    expect(first).toMatchObject({ key: 'none', streams: 1, masked: 0 })
    expect(first.remains.map(({ ends }) => ends).join()).toContain('find-subjects')
    expect((await store.forget({ subject: 'customer/77', ...gdpr })).remains.length).toBe(1)
    const ending = new AbortController()
    ending.abort()
    await expect(store.encryption.findSubjects({ signal: ending.signal })).rejects.toThrow()
    const { position: _, ...found } = await store.encryption.findSubjects()
    expect(found).toEqual({ own: 2, encrypted: 0, plain: 3, forgotten: ['customer/42'], unclear: 0 })
    expect(await store.encryption.findSubjects()).toMatchObject({ own: 0, encrypted: 0, plain: 0, forgotten: [] })
    await expect(store.forget({ subject: 'customer/44', ...gdpr })).rejects.toMatchObject({ streams: ['order/3'] })
    // It is forgotten already, so that all else is seen to at once.
    const exposed = store.forget({ subject: 'customer/42', ...gdpr })
    await expect(exposed).rejects.toMatchObject({ code: 'subject-exposed', streams: ['order/1'] })
    for (const stream of ['letter/42', 'case/7']) expect((await store.details(stream))?.forgotten).toBe(true)
    await store.forget('order/1', gdpr)
    const report = await store.forget({ subject: 'customer/42', ...gdpr })
    expect(report).toMatchObject({ streams: 3, events: 3, remains: [] })
    expect((await store.jobs.get('$forget-subject/customer/42'))?.state).toBe('done')
  })

  test('what is found of a subject is plain unless it is encrypted for it, and goes on behind what was looked through', async () => {
    const part: Subjects = {
      events: {
        Shared: [
          { subject: 'customer/{/of}', fields: ['/name'] },
          { subject: 'customer/{/by}', fields: ['/note'] },
        ],
      },
    }
    const shared = (whose: number, by: number) => {
      return { type: 'Shared', data: { of: whose, by, name: 'Ann', note: 'x', more: 'y' } }
    }
    {
      await using store = await open({ subjects: part })
      await store.append('deal/1', [shared(1, 2)])
    }
    const more: Subjects = {
      events: {
        Shared: [
          { subject: 'customer/{/of}', fields: ['/name', '/more'] },
          { subject: 'customer/{/by}', fields: ['/note'] },
        ],
      },
    }
    await using store = await open({ subjects: more })
    await store.append('deal/2', [shared(3, 2)])
    // Of customer/2 what is there was encrypted for it before; of customer/1 something was not.
    expect(await store.encryption.findSubjects()).toMatchObject({ position: 2, own: 0, encrypted: 0, plain: 1 })
    expect((await store.forget({ subject: 'customer/2', ...gdpr })).masked).toBe(2)
    await expect(store.forget({ subject: 'customer/1', ...gdpr })).rejects.toMatchObject({ streams: ['deal/1'] })
    await store.append('deal/3', [shared(3, 4)])
    expect(await store.encryption.findSubjects()).toMatchObject({ position: 4, encrypted: 0, plain: 0, unclear: 0 })
  })
})
