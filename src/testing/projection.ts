/** Given these events, then the view of an id is this; or there is none. */
import assert from 'node:assert/strict'
import { checkFunctions, checkObject } from '../core/argument.ts'
import { canonicalJson } from '../core/encoding.ts'
import { InvalidArgument } from '../core/errors.ts'
import type { AnyEvent, Recorded } from '../core/event.ts'
import { failed } from './failure.ts'
import { frozen, type GivenEvent, recordedOf } from './given.ts'

/** What of a projection folds: any object with functions by event type, and a key for the view. */
export interface ProjectionFold<View extends object> {
  /** Which view an event belongs to; `undefined`: none. Left out, it is the id of its stream. */
  key?(event: never): string | undefined
  /** The view after an event, `undefined` where there is none (any more). */
  readonly on: Readonly<Record<string, (view: never, event: never) => View | undefined>>
}

export interface GivenViews<View extends object, Event extends AnyEvent> {
  /** What has happened, in order of the log; events of types that the projection does not know pass it by. */
  given(...events: readonly GivenEvent<Event>[]): {
    /** Throws an `AssertionError` that shows the difference. */
    thenView(id: string, view: View): void
    thenNoView(id: string): void
  }
}

/** The projection as pure functions. Events and views are frozen, so that a fold which changes them throws. */
export function testProjection<View extends object, Event extends AnyEvent = AnyEvent>(
  projection: ProjectionFold<View>,
): GivenViews<View, Event> {
  checkObject(projection, 'projection')
  checkObject(projection.on, 'projection.on')
  checkFunctions(projection.on, 'projection.on', Object.keys(projection.on))
  return {
    given(...given) {
      const views = viewsOf(projection, recordedOf(given))
      const then = {
        thenView(id: string, view: View) {
          const told = `The view "${id}" is not as it should be; there are views of ${idsOf(views)}`
          failed(told, then.thenView, () => assert.deepEqual(views.get(id), stored(view, 'view')))
        },
        thenNoView(id: string) {
          const told = `There should be no view "${id}"`
          failed(told, then.thenNoView, () => assert.deepEqual(views.get(id), undefined))
        },
      }
      return then
    },
  }
}

function viewsOf<View extends object>(
  projection: ProjectionFold<View>,
  events: readonly Recorded[],
): ReadonlyMap<string, View> {
  const views = new Map<string, View>()
  for (const event of events) {
    const fold = Object.hasOwn(projection.on, event.type) ? projection.on[event.type] : undefined
    if (fold === undefined) continue
    const id = projection.key ? projection.key(event as never) : event.stream.slice(event.stream.indexOf('/') + 1)
    if (id === undefined) continue
    if (typeof id !== 'string' || id === '') {
      throw new InvalidArgument(`projection.key of a "${event.type}"`, 'must be a text that is not empty, or undefined')
    }
    const view = fold(views.get(id) as never, event as never)
    if (view === undefined) views.delete(id)
    else views.set(id, stored(view, `view ${JSON.stringify(id)}`))
  }
  return views
}

/** As a document comes back. Throws for what is no JSON. */
function stored<View extends object>(view: View, path: string): View {
  return frozen(JSON.parse(canonicalJson(view, path)) as View)
}

function idsOf(views: ReadonlyMap<string, object>): string {
  return [...views.keys()].map((id) => JSON.stringify(id)).join(', ') || 'nothing'
}
