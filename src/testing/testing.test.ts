import { AssertionError } from 'node:assert/strict'
import { describe, expect, test } from 'vitest'
import type { Decider } from '../core/decider.ts'
import type { EventOf, Recorded } from '../core/event.ts'
import { testDecider, testProjection } from './index.ts'

class SeatTaken extends Error {
  readonly code = 'seat-taken'
}

type SeatEvent = EventOf<{ Reserved: { by: string }; Freed: null }>
type Seat = { by?: string }
const seat: Decider<{ reserve: string } | 'free', SeatEvent, Seat> = {
  initialState: () => ({}),
  evolve: (_, event) => (event.type === 'Reserved' ? { by: event.data.by } : {}),
  decide(command, state) {
    if (command === 'free') return state.by ? [{ type: 'Freed', data: null }] : []
    if (state.by) throw new SeatTaken(`taken by ${state.by}`)
    return [{ type: 'Reserved', data: { by: command.reserve }, tags: ['show:hamlet'] }]
  },
}
const reserved = { type: 'Reserved', data: { by: 'ann' } } as const

/** What the kit says of a test that fails. */
function failure(run: () => void): AssertionError {
  try {
    run()
  } catch (error) {
    if (error instanceof AssertionError) return error
    throw error
  }
  throw new Error('The kit has let it pass')
}

describe('a decider', () => {
  const { given } = testDecider(seat)

  test('is tested by the events that follow', () => {
    given()
      .when({ reserve: 'ann' })
      .thenEvents({ ...reserved, tags: ['show:hamlet'] })
    given(reserved).when('free').thenEvents({ type: 'Freed', data: null })
    given(reserved, { type: 'Freed', data: null }).when('free').thenNothing()
  })

  test('is tested by what it refuses: at all, by message, by pattern, by class, by shape', () => {
    const refused = given(reserved).when({ reserve: 'bob' })
    for (const expected of [undefined, 'taken by ann', /ann$/, SeatTaken, { code: 'seat-taken' }]) {
      refused.thenThrows(expected)
    }
  })

  test('that decides otherwise fails with the difference, at the line of the test', () => {
    const error = failure(() => given(reserved).when('free').thenEvents(reserved))
    expect(error.message).toMatch(/^The decider decides otherwise:\n/)
    expect(error.message).toMatch(/\+ .*'Freed'[\s\S]*- .*'Reserved'/)
    expect(error.stack?.split('\n').find((line) => /^ +at /.test(line))).toContain('testing.test.ts')
    expect(failure(() => given(reserved).when('free').thenNothing()).actual).toEqual([{ type: 'Freed', data: null }])
    // Tags are what boundaries go by.
    expect(failure(() => given().when({ reserve: 'ann' }).thenEvents(reserved)).message).toContain('show:hamlet')
  })

  test('that refuses otherwise, or not at all, fails and shows what it did', () => {
    const refused = given(reserved).when({ reserve: 'bob' })
    for (const expected of ['taken', /^ann/, TypeError, { code: 'no-seat' }]) {
      expect(failure(() => refused.thenThrows(expected)).message).toMatch(/^The decider refuses otherwise:\n/)
    }
    const { message, actual } = failure(() => given().when('free').thenThrows('taken by ann'))
    expect(message).toMatch(/^The decider does not refuse the command:\n/)
    expect(actual).toEqual([])
    expect(() => refused.thenEvents(reserved)).toThrow(SeatTaken)
  })

  test('folds what a store would give back: recorded events with their places', () => {
    const seen: Recorded[] = []
    const watching: Decider<null, { type: string; data: object }, number> = {
      initialState: () => 0,
      evolve: (count, event) => {
        seen.push(event as Recorded)
        return count + 1
      },
      decide: () => [],
    }
    testDecider(watching)
      .given(
        { type: 'A', data: { left: undefined, right: 1 }, tags: ['b', 'a', 'b'] },
        { type: 'B', data: {}, stream: 'seat/2', id: 'mine', meta: { correlationId: 'c' } },
        { type: 'C', data: {}, time: '2027-05-01T10:00:00+02:00' },
      )
      .when(null)
      .thenNothing()
    const envelope = { tags: [], meta: null }
    const first = { id: 'event-1', type: 'A', data: { right: 1 }, tags: ['a', 'b'], meta: null }
    expect(seen).toEqual([
      { ...first, stream: 'test/1', revision: 1, position: 1, time: '2026-01-01T00:00:00.000Z' },
      {
        ...{ id: 'mine', type: 'B', data: {}, tags: [], meta: { correlationId: 'c' } },
        ...{ stream: 'seat/2', revision: 1, position: 2, time: '2026-01-01T00:00:01.000Z' },
      },
      {
        ...{ ...envelope, id: 'event-3', type: 'C', data: {} },
        ...{ stream: 'test/1', revision: 2, position: 3, time: '2027-05-01T08:00:00.000Z' },
      },
    ])
  })

  test('that changes an event or a state is caught', () => {
    const careless: Decider<null, SeatEvent, { all: string[] }> = {
      initialState: () => ({ all: [] }),
      evolve: (state, { type }) => ({ all: [...state.all, type] }),
      decide: (_, state) => {
        state.all.push('mine')
        return []
      },
    }
    expect(() => testDecider(careless).given(reserved).when(null).thenNothing()).toThrow(TypeError)
  })

  test('that has snapshots must come to states that survive JSON', () => {
    const dated: Decider<null, SeatEvent, { at?: Date }> = {
      initialState: () => ({}),
      evolve: () => ({ at: new Date(0) }),
      decide: () => [],
      snapshot: { name: 'seat', version: 1 },
    }
    testDecider(dated).given().when(null).thenNothing()
    expect(() => testDecider(dated).given(reserved).when(null)).toThrow('state.at')
  })

  test('is given and decides only what could be recorded', () => {
    const wrong = { type: 'Reserved', data: { by: Number.NaN as unknown as string } } as const
    expect(() => given(wrong).when('free')).toThrow('given[0].data.by')
    expect(() => given({ ...reserved, stream: 'seat' }).when('free')).toThrow('given[0].stream')
    expect(() => given({ ...reserved, time: 'today' }).when('free')).toThrow('given[0].time')
    const when = given().when({ reserve: 7n as unknown as string })
    expect(() => when.thenEvents(reserved)).toThrow('decided[0].data.by')
  })
})

describe('a projection', () => {
  type Customer = { name: string; orders: number }
  const customers = {
    key: ({ stream, data }: Recorded) =>
      stream.startsWith('customer/') ? stream.slice(9) : (data as { customer?: string }).customer,
    on: {
      Registered: (_: Customer | undefined, { data }: { data: { name: string } }) => ({ name: data.name, orders: 0 }),
      Ordered: (view: Customer | undefined) => view && { ...view, orders: view.orders + 1 },
      Deleted: () => undefined,
    },
  }
  const registered = { stream: 'customer/1', type: 'Registered', data: { name: 'Ann' } }
  const ordered = { stream: 'order/7', type: 'Ordered', data: { customer: '1' } }
  const { given } = testProjection(customers)

  test('is tested by the views that events of several streams lead to', () => {
    given(registered, ordered, ordered).thenView('1', { name: 'Ann', orders: 2 })
    given(registered, { ...ordered, data: {} }).thenView('1', { name: 'Ann', orders: 0 })
    given(ordered).thenNoView('1')
    given(registered, { ...registered, type: 'Deleted' }).thenNoView('1')
    given({ ...registered, type: 'toString' }).thenNoView('1')
  })

  test('without a key has a view for each id of a stream', () => {
    testProjection({ on: { Registered: () => ({ seen: true }) } })
      .given(registered)
      .thenView('1', { seen: true })
  })

  test('that builds otherwise fails with the difference, at the line of the test', () => {
    const error = failure(() => given(registered).thenView('1', { name: 'Ann', orders: 1 }))
    expect(error.message).toMatch(
      /^The view "1" is not as it should be; there are views of "1":\n[\s\S]*\+ .*orders: 0/,
    )
    expect(error.stack?.split('\n').find((line) => /^ +at /.test(line))).toContain('testing.test.ts')
    expect(failure(() => given().thenView('1', { name: 'Ann', orders: 1 })).message).toContain('views of nothing')
    expect(failure(() => given(registered).thenNoView('1')).message).toContain('There should be no view "1"')
  })

  test('that changes its view or its event, or makes what is no JSON, is caught', () => {
    const changing = {
      on: { Ordered: (view: { orders: number } = { orders: 0 }) => Object.assign(view, { orders: 1 }) },
    }
    expect(() => testProjection(changing).given(ordered, ordered)).toThrow(TypeError)
    const dated = { on: { Ordered: () => ({ at: new Date() }) } }
    expect(() => testProjection(dated).given(ordered)).toThrow('view "7".at')
    expect(() => testProjection({ key: () => '', on: customers.on }).given(ordered)).toThrow('projection.key')
  })
})
