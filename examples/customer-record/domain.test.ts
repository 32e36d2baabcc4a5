import { testDecider, testProjection } from 'daybook/testing'
import { describe, expect, test } from 'vitest'
import { type CustomerCommand, type CustomerEvent, customers, deleted, type Kind } from './domain.ts'
import { customerViews, requestViews } from './views.ts'

const customerId = '7'
const eventId = 'a request'
const ann = { customerName: { foreNames: 'Ann', surname: 'Smith' } }
const created: CustomerEvent = { type: 'PersonCustomerCreatedEvent', data: { ...ann, customerId, version: 1 } }
const bell = { customerName: { surname: 'Bell' } }
const amended: CustomerEvent = { type: 'PersonCustomerUpdatedEvent', data: { ...bell, customerId, version: 2 } }

const create = (kind: Kind): CustomerCommand => ({ does: 'create', kind, customerId, details: ann, eventId })
const amend = (kind: Kind): CustomerCommand => ({ does: 'amend', kind, customerId, details: bell, eventId })

describe('the decider', () => {
  const { given } = testDecider(customers)

  test('creates a person or an organisation, in version 1', () => {
    given()
      .when(create('Person'))
      .thenEvents({ ...created, id: eventId })
    given()
      .when(create('Organisation'))
      .thenEvents({ ...created, type: 'OrganisationCustomerCreatedEvent' })
  })

  test('amends all that a customer is, in the next version', () => {
    given(created)
      .when(amend('Person'))
      .thenEvents({ ...amended, id: eventId })
    given(created, amended)
      .when({ ...amend('Person'), details: {} })
      .thenEvents({ type: 'PersonCustomerUpdatedEvent', data: { customerId, version: 3 } })
  })

  test('refuses a customer of the other kind, one that is not there or not any more, and one that is there already', () => {
    given(created).when(amend('Organisation')).thenThrows('Customer 7 is no organisation')
    given().when(amend('Person')).thenThrows('There is no customer 7')
    given(deleted).when(amend('Person')).thenThrows('There is no customer 7')
    given(created).when(create('Person')).thenThrows('There is a customer 7 already')
  })
})

describe('the views', () => {
  const stream = `customer/${customerId}`

  test('are the customers as they were recorded last', () => {
    const { given } = testProjection(customerViews)
    given({ stream, ...created }).thenView('7', created.data)
    given({ stream, ...created }, { stream, ...amended }).thenView('7', amended.data)
    given({ stream: 'customer/8', ...created }).thenNoView('7')
  })

  test('know by which request an event was recorded, and let no other one come under its key', () => {
    const { given } = testProjection(requestViews)
    const meta = { request: 'r' }
    given({ stream, ...created, meta }, { stream, ...amended }).thenView('r', { stream, revision: 1 })
    given({ stream, ...created }).thenNoView('r')
    expect(() => given({ stream, ...created, meta }, { stream, ...amended, meta })).toThrow('came with another request')
  })
})
