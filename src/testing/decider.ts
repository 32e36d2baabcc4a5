/** Given these events, when this command comes, then these events follow; or it is refused; or there is nothing to do. */
import assert from 'node:assert/strict'
import { checkFunctions } from '../core/argument.ts'
import type { Decider } from '../core/decider.ts'
import type { AnyEvent, NewEvent } from '../core/event.ts'
import { checkSurvives } from '../core/snapshot.ts'
import { type Caller, failed } from './failure.ts'
import { frozen, type GivenEvent, recordedOf, stored } from './given.ts'

export interface GivenCommands<Command, Event extends AnyEvent> {
  /** What has happened, oldest first; none at all is a stream that is new. */
  given(...events: readonly GivenEvent<Event>[]): { when(command: Command): GivenDecision<Event> }
}

/** Each throws an `AssertionError` that shows the difference. */
export interface GivenDecision<Event extends AnyEvent> {
  /** These events follow, and no others: type, data, tags, meta, and the id of those that are expected with one. */
  thenEvents(...events: readonly NewEvent<Event>[]): void
  thenNothing(): void
  /** The command is refused; with an error of this message, class or shape (`{ code: 'seat-taken' }`) where one is given. */
  thenThrows(expected?: string | RegExp | object): void
}

/**
 * The decider as pure functions, in the way that a store runs them. Events and states are frozen, so that a decider which
 * changes what it is given throws here, before a retry of `execute` decides on what it changed. So does one that has
 * snapshots, and comes to a state that does not survive JSON.
 */
export function testDecider<Command, Event extends AnyEvent, State>(
  decider: Decider<Command, Event, State>,
): GivenCommands<Command, Event> {
  checkFunctions(decider, 'decider', ['initialState', 'evolve', 'decide'])
  return {
    given: (...given) => ({
      when(command) {
        const state = recordedOf(given).reduce<State>(
          (state, event) => frozen(decider.evolve(state, event)),
          frozen(decider.initialState()),
        )
        if (decider.snapshot !== undefined) checkSurvives(state)
        return decisionOf(() => decider.decide(command, state))
      },
    }),
  }
}

function decisionOf<Event extends AnyEvent>(decide: () => readonly NewEvent<Event>[]): GivenDecision<Event> {
  const compare = (expected: readonly NewEvent[], caller: Caller) => {
    const actual = decide().map((event, index) => comparable(event, `decided[${index}]`, expected[index]))
    const wanted = expected.map((event, index) => comparable(event, `then[${index}]`, event))
    failed('The decider decides otherwise', caller, () => assert.deepEqual(actual, wanted))
  }
  const decision: GivenDecision<Event> = {
    thenEvents: (...events) => compare(events, decision.thenEvents),
    thenNothing: () => compare([], decision.thenNothing),
    thenThrows(expected) {
      const { refusal, events } = refusalOf(decide)
      if (refusal === undefined) {
        const actual = events.map((event, index) => comparable(event, `decided[${index}]`, undefined))
        failed('The decider does not refuse the command', decision.thenThrows, () => assert.deepEqual(actual, expected))
      } else if (expected !== undefined) {
        const like = typeof expected === 'string' ? { message: expected } : expected
        const again = () => {
          throw refusal
        }
        failed('The decider refuses otherwise', decision.thenThrows, () => assert.throws(again, like as Error))
      }
    },
  }
  return decision
}

function refusalOf(decide: () => readonly NewEvent[]): { refusal?: unknown; events: readonly NewEvent[] } {
  try {
    return { events: decide() }
  } catch (refusal) {
    return { refusal, events: [] }
  }
}

/** An id differs each time, unless the test knows it; tags and meta are shown where there are any. */
function comparable(event: NewEvent, path: string, expected: NewEvent | undefined): object {
  const { id, type, data, tags, meta } = stored(event, 'new', path)
  return {
    ...(expected?.id !== undefined && { id }),
    type,
    data,
    ...(tags.length > 0 && { tags }),
    ...(meta !== null && { meta }),
  }
}
