import { testDecider, testProjection } from 'daybook/testing'
import { describe, test } from 'vitest'
import { type Ad, type AdCommand, type AdEvent, ads, type Content } from './domain.ts'
import { adViews, adViewsOf, hasMore } from './views.ts'

const [adId, publisherId, eventId] = ['7', 'acme', 'a request']
const content: Content = {
  adTitle: 'Lamp',
  adDescription: 'Brass, with a shade',
  price: 40,
  currency: 'EUR',
  category: 'lights',
  tags: ['brass'],
}
const lamp: Ad = { ...content, adId, publisherId }
const created: AdEvent = { type: 'AdCreated', data: lamp }
const updated: AdEvent = { type: 'AdUpdated', data: { ...lamp, price: 30 } }
const deleted: AdEvent = { type: 'AdDeleted', data: { adId, publisherId } }

const whose = { adId, publisherId, eventId }
const create: AdCommand = { does: 'create', content, ...whose }
const update: AdCommand = { does: 'update', changes: { price: 30 }, ...whose }
const remove: AdCommand = { does: 'delete', ...whose }

describe('the decider', () => {
  const { given } = testDecider(ads)

  test('creates an ad, updates what is named of it, deletes it', () => {
    given()
      .when(create)
      .thenEvents({ ...created, id: eventId })
    given(created)
      .when(update)
      .thenEvents({ ...updated, id: eventId })
    given(created, updated)
      .when({ ...update, changes: { tags: [] } })
      .thenEvents({ type: 'AdUpdated', data: { ...lamp, price: 30, tags: [] } })
    given(created, updated)
      .when(remove)
      .thenEvents({ ...deleted, id: eventId })
  })

  test('refuses an ad that is there already, is not there, not there any more, or is of another publisher', () => {
    given(created).when(create).thenThrows('There is an ad 7 already')
    given(created, deleted).when(create).thenThrows('There is an ad 7 already')
    for (const command of [update, remove]) {
      given().when(command).thenThrows('Ad 7 is not there')
      given(created, deleted).when(command).thenThrows('Ad 7 is not there')
      given(created)
        .when({ ...command, publisherId: 'other' })
        .thenThrows('Publisher other does not own ad 7')
    }
  })

  test('has nothing to do for a command that was given before, and refuses another one under its id', () => {
    const before = { id: eventId }
    given({ ...created, ...before }, deleted)
      .when(create)
      .thenNothing()
    given(created, { ...updated, ...before }, deleted)
      .when(update)
      .thenNothing()
    given(created, { ...deleted, ...before })
      .when(remove)
      .thenNothing()
    const other: AdCommand = { ...update, changes: { price: 31 } }
    for (const command of [other, remove]) {
      given(created, { ...updated, ...before })
        .when(command)
        .thenThrows(/came with another request/)
    }
  })
})

describe('the view', () => {
  const stream = `ad/${adId}`

  test('is the ad as it was recorded last, until it is deleted', () => {
    const { given } = testProjection(adViews)
    given({ stream, ...created }).thenView('7', lamp)
    given({ stream, ...created }, { stream, ...updated }).thenView('7', { ...lamp, price: 30 })
    given({ stream, ...created }, { stream, ...deleted }).thenNoView('7')
  })

  test('keeps the first words of an ad where not all can be searched, and says that there are more', () => {
    const words = (most: number) => testProjection(adViewsOf({ words: most })).given({ stream, ...created })
    words(6).thenView('7', { ...lamp, words: 'lamp lights brass with a shade' })
    words(5).thenView('7', { ...lamp, words: `${hasMore} lamp lights brass with` })
  })
})
