/** The checker of histories finds what is broken, names it, and agrees with a search through all orders. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Expected } from '../core/errors.ts'
import { type AppendAnswer, contradictionIn, type Operation, type ReadOperation } from './history.ts'

type Instants = readonly [invoked: number, responded: number]

const stream = 'seat/1'
const called = (client: string, [invoked, responded]: Instants) => ({ client, stream, invoked, responded })
const at = (first: number, last = first): AppendAnswer => ({ outcome: 'acknowledged', first, last })

function append(
  client: string,
  when: Instants,
  ids: string,
  expected: Expected,
  answer: AppendAnswer | number,
): Operation {
  const outcome: AppendAnswer = typeof answer === 'number' ? { outcome: 'conflict', actual: answer } : answer
  return { kind: 'append', ...called(client, when), ids: [...ids], expected, ...outcome }
}

function unanswered(client: string, invoked: number, ids: string, expected: Expected = 'any'): Operation {
  return { kind: 'append', client, stream, invoked, ids: [...ids], expected, outcome: 'unknown' }
}

function refused(client: string, when: Instants, ids: string): Operation {
  return { kind: 'append', ...called(client, when), ids: [...ids], expected: 'any', outcome: 'refused' }
}

/** Ids from `after` + 1 on. */
function read(client: string, when: Instants, ids: string, range: { after?: number; until?: number } = {}): Operation {
  const { after = 0, until } = range
  const events = [...ids].map((id, index) => ({ revision: after + index + 1, id }))
  return { kind: 'read', ...called(client, when), after, ...(until !== undefined && { until }), events }
}

function head(client: string, when: Instants, revision: number): Operation {
  return { kind: 'head', ...called(client, when), revision }
}

const end = (ids: string) => read('the end', [900, 901], ids)

const sound: Readonly<Record<string, readonly Operation[]>> = {
  'of nothing but an empty stream': [head('ann', [1, 2], 0), read('bob', [1, 2], ''), end('')],
  'of appends that wait for each other': [
    append('ann', [1, 2], 'ab', 0, at(1, 2)),
    append('bob', [3, 4], 'c', 2, at(3)),
    append('ann', [5, 6], 'd', 'exists', at(4)),
    head('bob', [7, 8], 4),
    end('abcd'),
  ],
  'of reads that meet an append, one before it and one after it': [
    append('ann', [1, 9], 'a', 0, at(1)),
    read('bob', [2, 8], ''),
    read('cid', [2, 8], 'a'),
    end('a'),
  ],
  'of operations that begin where another one ends': [
    append('ann', [1, 3], 'a', 0, at(1)),
    read('bob', [3, 4], ''),
    read('cid', [4, 5], 'a'),
    end('a'),
  ],
  'of a lost race': [
    append('ann', [1, 4], 'a', 0, at(1)),
    append('bob', [2, 3], 'b', 0, 1),
    append('bob', [5, 6], 'b2', 1, at(2, 3)),
    end('ab2'),
  ],
  'of ranges that know no more than they asked for': [
    append('ann', [1, 2], 'abc', 'any', at(1, 3)),
    append('ann', [3, 4], 'd', 'any', at(4)),
    read('bob', [5, 6], 'b', { after: 1, until: 2 }),
    read('bob', [7, 8], '', { after: 4, until: 9 }),
    read('bob', [7, 8], '', { after: 9, until: 3 }),
    read('bob', [9, 10], 'cd', { after: 2, until: 9 }),
    end('abcd'),
  ],
  'of an append of unknown outcome that came, and of one that did not': [
    unanswered('ann', 1, 'x'),
    unanswered('bob', 1, 'y', 7),
    read('cid', [2, 3], ''),
    append('cid', [4, 5], 'a', 0, at(1)),
    head('cid', [6, 7], 2),
    end('ax'),
  ],
  'of a refused append': [refused('ann', [1, 2], 'x'), end('')],
}

/** Each with the clients of the operations that cannot both be, and how the message begins to say it. */
const broken: Readonly<Record<string, readonly [readonly Operation[], clients: readonly string[], says: string]>> = {
  'an acknowledged append is lost': [
    [append('ann', [1, 2], 'a', 0, at(1)), end('')],
    ['ann', 'the end'],
    "ann's append of a to seat/1 (1 to 2), which expected 0 and was acknowledged at revisions 1 to 1, and yet it is missing in the end's read",
  ],
  'an acknowledged append is at another revision': [
    [append('ann', [1, 2], 'a', 'any', at(1)), append('bob', [1, 2], 'b', 'any', at(1)), end('ab')],
    ['bob', 'the end'],
    'it is at revisions 2 to 2',
  ],
  'a read after an acknowledged append does not show it': [
    [append('ann', [1, 2], 'a', 0, at(1)), read('bob', [3, 4], ''), end('a')],
    ['ann', 'bob'],
    'the stream was at revision 1 or later, when it was at 0 or earlier for',
  ],
  'a range after an acknowledged append does not show it': [
    [append('ann', [1, 2], 'abc', 0, at(1, 3)), read('bob', [3, 4], '', { after: 1, until: 2 }), end('abc')],
    ['ann', 'bob'],
    'the stream was at revision 3 or later, when it was at 0 or earlier for',
  ],
  'a read goes back behind an earlier one': [
    [append('ann', [1, 9], 'a', 0, at(1)), read('bob', [2, 3], 'a'), read('cid', [4, 5], ''), end('a')],
    ['bob', 'cid'],
    "bob's read of seat/1 after 0 (2 to 3), which gave [a] had ended",
  ],
  'a head goes back behind an earlier read': [
    [append('ann', [1, 9], 'a', 0, at(1)), read('bob', [2, 3], 'a', { until: 1 }), head('cid', [4, 5], 0), end('a')],
    ['bob', 'cid'],
    "at 0 or earlier for cid's look at seat/1",
  ],
  'an append is there twice': [
    [append('ann', [1, 2], 'ab', 'any', at(1, 2)), end('abab')],
    ['ann', 'the end'],
    'and yet it is there twice',
  ],
  'appends stand in the reverse of their order in time': [
    [append('ann', [1, 2], 'a', 'any', at(2)), append('bob', [3, 4], 'b', 'any', at(1)), end('ba')],
    ['ann', 'bob'],
    'at revision 2 or later, when it was at 0 or earlier',
  ],
  'the events of an append stand in another order': [
    [append('ann', [1, 2], 'ab', 'any', at(1, 2)), end('ba')],
    ['ann', 'the end'],
    'its events do not stand together, in order',
  ],
  'the events of an append stand apart': [
    [append('ann', [1, 2], 'ab', 'any', at(1, 2)), append('bob', [1, 2], 'c', 'any', at(2)), end('acb')],
    ['ann', 'the end'],
    'its events do not stand together, in order',
  ],
  'half of an append is there': [
    [unanswered('ann', 1, 'ab'), end('a')],
    ['ann', 'the end'],
    'its events do not stand together, in order',
  ],
  'half of an append was seen': [
    [append('ann', [1, 4], 'ab', 0, at(1, 2)), read('bob', [2, 3], 'a'), end('ab')],
    ['bob', 'ann'],
    'met the stream in the middle of',
  ],
  'a conflict tells a revision that was not yet reached': [
    [append('ann', [1, 2], 'a', 0, 1), append('bob', [3, 4], 'b', 0, at(1)), end('b')],
    ['ann', 'bob'],
    'at revision 1 or later, when it was at 0 or earlier',
  ],
  'a conflict tells a revision that was passed before': [
    [
      append('bob', [1, 2], 'b', 0, at(1)),
      append('bob', [3, 4], 'c', 1, at(2)),
      append('ann', [5, 6], 'a', 0, 1),
      end('bc'),
    ],
    ['bob', 'ann'],
    'at revision 2 or later, when it was at 1 or earlier',
  ],
  'a conflict tells a revision that was never reached': [
    [append('ann', [1, 2], 'a', 0, 5), append('bob', [1, 4], 'b', 0, at(1)), end('b')],
    ['ann', 'the end'],
    'met a revision that was not reached by',
  ],
  'a conflict tells a revision that the stream jumped over': [
    [append('ann', [2, 3], 'a', 0, 1), append('bob', [1, 4], 'bc', 0, at(1, 2)), end('bc')],
    ['ann', 'bob'],
    'met the stream in the middle of',
  ],
  'a conflict tells what was expected': [
    [append('ann', [1, 2], 'a', 0, 0), end('')],
    ['ann'],
    'was in conflict with revision 0, though that is what it expected',
  ],
  'an append that was in conflict is there': [
    [append('bob', [1, 2], 'b', 0, at(1)), append('ann', [3, 4], 'a', 0, 1), end('ba')],
    ['ann', 'the end'],
    'it was written at revision 2',
  ],
  'an append that was refused is there': [
    [refused('ann', [1, 2], 'a'), end('a')],
    ['ann', 'the end'],
    'which expected any and was refused, and yet it is at revisions 1 to 1',
  ],
  'an append of unknown outcome was seen before it was called': [
    [read('bob', [1, 2], 'a'), unanswered('ann', 3, 'a'), end('a')],
    ['bob', 'ann'],
    "for ann's append of a to seat/1 (from 3 on), which expected any and was not answered",
  ],
  'an append of unknown outcome was seen, and then gone': [
    [unanswered('ann', 1, 'a'), read('bob', [2, 3], 'a'), end('')],
    ['bob', 'the end'],
    'has a at revision 1, where it is not in',
  ],
  'an append of unknown outcome was written at a revision that it did not expect': [
    [unanswered('ann', 1, 'a', 1), end('a')],
    ['ann', 'the end'],
    'it was written at revision 1',
  ],
  'the end has a gap': [
    [
      append('ann', [1, 2], 'ab', 'any', at(1, 2)),
      { ...(end('ab') as ReadOperation), events: [{ revision: 2, id: 'b' }] },
    ],
    ['the end'],
    'has revision 2 where 1 is due',
  ],
  'a read has a gap': [
    [
      append('ann', [1, 2], 'abc', 'any', at(1, 3)),
      {
        ...(read('bob', [3, 4], '') as ReadOperation),
        events: [
          { revision: 1, id: 'a' },
          { revision: 3, id: 'c' },
        ],
      },
      end('abc'),
    ],
    ['bob'],
    'has revision 3 where 2 is due',
  ],
  'a range gives more than it was asked for': [
    [append('ann', [1, 2], 'abc', 'any', at(1, 3)), read('bob', [3, 4], 'bc', { after: 1, until: 2 }), end('abc')],
    ['bob'],
    'has more than it asked for',
  ],
  'an append to a stream that must exist begins it': [
    [append('ann', [1, 2], 'a', 'exists', at(1)), end('a')],
    ['ann', 'the end'],
    'it was written at revision 1',
  ],
  'an event comes from nobody': [[end('a')], ['the end'], 'shows a, which nobody appended'],
}

describe('the checker of histories', () => {
  test.each(Object.entries(sound))('takes a history %s', (_, history) => {
    expect(contradictionIn(history)).toBeUndefined()
    expect(isLinearizable(history)).toBe(true)
  })

  test.each(Object.entries(broken))('tells that %s', (_, [history, clients, says]) => {
    const found = contradictionIn(history)
    expect(found?.operations.map(({ client }) => client)).toEqual(clients)
    expect(found?.message).toContain(says)
    expect(isLinearizable(history)).toBe(false)
  })

  test('keeps streams apart', () => {
    const other = (operation: Operation): Operation => ({ ...operation, stream: 'seat/2' })
    const history = [append('ann', [1, 2], 'a', 0, at(1)), end('a')]
    expect(contradictionIn([...history, ...[read('bob', [3, 4], ''), end('')].map(other)])).toBeUndefined()
    const [lost] = broken['an acknowledged append is lost'] ?? [[]]
    expect(contradictionIn([...history, ...lost.map(other)])?.stream).toBe('seat/2')
  })

  test('wants a read of the whole stream at the end', () => {
    const one = append('ann', [1, 2], 'a', 0, at(1))
    for (const last of [[], [read('bob', [2, 3], 'a')], [read('bob', [3, 4], 'a', { until: 1 })]]) {
      expect(() => contradictionIn([one, ...last])).toThrow('does not end with a read of the whole stream')
    }
  })

  test('is at ease with histories of many thousand operations', () => {
    const operations = Array.from({ length: 20_000 }, (_, index): Operation => {
      const when: Instants = [index * 2 + 1, index * 2 + 8]
      return { kind: 'append', ...called(`c${index % 4}`, when), ids: [`${index}`], expected: 'any', ...at(index + 1) }
    })
    const events = operations.map((_, index) => ({ revision: index + 1, id: `${index}` }))
    const last: Operation = { kind: 'read', ...called('the end', [50_000, 50_001]), after: 0, events }
    expect(contradictionIn([...operations, last])).toBeUndefined()
  })

  test('agrees with a search through all orders on histories that happened, as they were and with facts changed', () => {
    const verdicts = { sound: 0, broken: 0 }
    const check = (history: readonly Operation[]) => {
      const linearizable = isLinearizable(history)
      verdicts[linearizable ? 'sound' : 'broken']++
      expect(contradictionIn(history)?.message ?? 'none').toEqual(linearizable ? 'none' : expect.stringMatching(/./))
      return linearizable
    }
    fc.assert(
      fc.property(happened, changes, (steps, changes) => {
        let history = historyOf(steps)
        expect(check(history)).toBe(true)
        for (const change of changes) {
          history = changed(history, change)
          check(history)
        }
      }),
      { numRuns: 5_000 },
    )
    expect(verdicts.sound).toBeGreaterThan(5_000)
    expect(verdicts.broken).toBeGreaterThan(5_000)
  })
})

/** Wing and Gong's search: takes first whatever had begun before any other answer came, as long as it fits; with a memory. */
function isLinearizable(history: readonly Operation[]): boolean {
  const seen = new Set<string>()
  const search = (left: readonly Operation[], content: readonly string[]): boolean => {
    const due = left.filter((operation) => 'responded' in operation)
    if (due.length === 0) return true
    const key = JSON.stringify([left.map((operation) => history.indexOf(operation)), content])
    if (seen.has(key)) return false
    seen.add(key)
    const firstAnswer = Math.min(...due.map(({ responded }) => responded))
    return left.some((operation) => {
      if (operation.invoked > firstAnswer) return false
      const after = applied(operation, content)
      const others = left.filter((other) => other !== operation)
      return after !== undefined && search(others, after)
    })
  }
  return search(history, [])
}

/** The stream after the operation; nothing where it does not fit there. */
function applied(operation: Operation, content: readonly string[]): readonly string[] | undefined {
  const revision = content.length
  switch (operation.kind) {
    case 'head':
      return operation.revision === revision ? content : undefined
    case 'read': {
      const { after, until } = operation
      const events = content.map((id, index) => ({ revision: index + 1, id })).slice(after, until)
      return JSON.stringify(events) === JSON.stringify(operation.events) ? content : undefined
    }
    case 'append': {
      const { expected } = operation
      const fits = expected === 'any' || (expected === 'exists' ? revision > 0 : expected === revision)
      const written = [...content, ...operation.ids]
      switch (operation.outcome) {
        case 'acknowledged':
          return fits && operation.first === revision + 1 && operation.last === written.length ? written : undefined
        case 'conflict':
          return !fits && operation.actual === revision ? content : undefined
        case 'refused':
          return content
        case 'unknown':
          return fits ? written : undefined
      }
    }
  }
}

interface Step {
  readonly call: 'append' | 'lost' | 'refused' | 'read' | 'range' | 'head'
  readonly client: number
  /** How long before and after its moment it began and ended. */
  readonly before: number
  readonly behind: number
  readonly size: number
  readonly expected: Expected
  readonly comes: boolean
}

const happened = fc.array(
  fc.record<Step>({
    call: fc.constantFrom('append', 'append', 'append', 'lost', 'refused', 'read', 'range', 'head'),
    client: fc.nat(2),
    before: fc.nat(25),
    behind: fc.nat(25),
    size: fc.integer({ min: 1, max: 2 }),
    expected: fc.constantFrom<Expected>('any', 'any', 'exists', 0, 1, 2, 3),
    comes: fc.boolean(),
  }),
  { maxLength: 8, size: 'max' },
)

/** What a sound store answers, each step at its moment, 10 apart. */
function historyOf(steps: readonly Step[]): readonly Operation[] {
  const operations: Operation[] = []
  let content: readonly string[] = []
  for (const [index, step] of steps.entries()) {
    const operation = answered(step, index, content)
    operations.push(operation)
    if (step.call !== 'lost' || step.comes) content = applied(operation, content) ?? content
  }
  return [...operations, end(content.join(''))]
}

function answered({ call, ...step }: Step, index: number, content: readonly string[]): Operation {
  const { size, expected } = step
  const client = `c${step.client}`
  const moment = 100 + index * 10
  const when: Instants = [moment - step.before, moment + step.behind]
  const ids = 'abcdefghijklmnopqrstuvwxyz'.slice(index * 2, index * 2 + size)
  const revision = content.length
  switch (call) {
    case 'append': {
      const acknowledged = append(client, when, ids, expected, at(revision + 1, revision + size))
      return applied(acknowledged, content) ? acknowledged : append(client, when, ids, expected, revision)
    }
    case 'lost':
      return unanswered(client, when[0], ids, expected)
    case 'refused':
      return refused(client, when, ids)
    case 'read':
      return read(client, when, content.join(''))
    case 'range': {
      const range = { after: size - 1, until: size + step.client }
      return read(client, when, content.slice(range.after, range.until).join(''), range)
    }
    case 'head':
      return head(client, when, revision)
  }
}

interface Change {
  readonly what: 'instants' | 'outcome' | 'content' | 'expected'
  readonly which: number
  readonly by: number
}

const changes = fc.array(
  fc.record<Change>({
    what: fc.constantFrom('instants', 'outcome', 'content', 'expected'),
    which: fc.nat(20),
    by: fc.integer({ min: -3, max: 3 }),
  }),
  { minLength: 3, maxLength: 6 },
)

/** One operation with another time, answer, content or expectation. */
function changed(history: readonly Operation[], { what, which, by }: Change): readonly Operation[] {
  const index = which % history.length
  const operation = history[index] as Operation
  switch (what) {
    case 'instants':
      return index === history.length - 1 ? history : history.with(index, moved(operation, by * 12))
    case 'outcome':
      return history.with(index, withOtherAnswer(operation, by))
    case 'content':
      if (operation.kind !== 'read') return history
      return history.with(index, { ...operation, events: otherEvents(operation, by) })
    case 'expected':
      return operation.kind === 'append' ? history.with(index, { ...operation, expected: Math.abs(by) }) : history
  }
}

function moved(operation: Operation, by: number): Operation {
  const invoked = operation.invoked + by
  return 'responded' in operation
    ? { ...operation, invoked, responded: operation.responded + by }
    : { ...operation, invoked }
}

function withOtherAnswer(operation: Operation, by: number): Operation {
  switch (operation.kind) {
    case 'head':
      return { ...operation, revision: Math.max(0, operation.revision + by) }
    case 'read':
      return operation
    case 'append': {
      const { client, invoked, ids, expected } = operation
      const responded = 'responded' in operation ? operation.responded : invoked + 10
      const others: readonly Operation[] = [
        unanswered(client, invoked, ids.join(''), expected),
        append(client, [invoked, responded], ids.join(''), expected, Math.abs(by)),
        append(client, [invoked, responded], ids.join(''), expected, at(Math.abs(by) + 1, Math.abs(by) + ids.length)),
        refused(client, [invoked, responded], ids.join('')),
      ]
      return others[(by + 4) % 4] ?? operation
    }
  }
}

/** One event less at the end, one more, two swapped, or a gap. */
function otherEvents({ events, after }: ReadOperation, by: number): ReadOperation['events'] {
  const ids = events.map(({ id }) => id)
  const numbered = (list: readonly string[]) => list.map((id, index) => ({ revision: after + index + 1, id }))
  if (by < -1) return events.slice(1)
  if (by < 0) return numbered(ids.slice(0, -1))
  if (by === 0) return numbered(ids.toReversed())
  return numbered([...ids, by > 1 ? 'a' : 'x'])
}
