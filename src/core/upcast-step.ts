/**
 * Upcasting as data: steps that bring an event's data from one version of its type to the next. They come over the wire
 * and are kept with the type, so they are no code: each is total, ends, and leaves alone what it does not find.
 *
 * Places are JSON Pointers (RFC 6901): a name steps into an object, `*` into each item of a list.
 */
import { checkList, checkObject } from './argument.ts'
import { canonicalJson } from './encoding.ts'
import { InvalidArgument, LimitExceeded } from './errors.ts'
import { parsePointer } from './json-places.ts'
import { limits } from './limits.ts'

export type UpcastStep = MoveStep | DefaultStep | RemoveStep

/** Renames, or moves elsewhere, also over what is there. With `*`, within each item: up to the last one both are equal. */
interface MoveStep {
  readonly move: string
  readonly to: string
}

/** Where there is nothing, which null is not, unless it is all of the data. Objects on the way are made. */
interface DefaultStep {
  readonly default: string
  readonly value: unknown
}

interface RemoveStep {
  readonly remove: string
}

/** Pure; shares with what it is given all that it does not change. */
export type UpcastData = (data: unknown) => unknown

/** Throws `InvalidArgument` with the place of what is no step. */
export function compileSteps(steps: readonly UpcastStep[], path: string): UpcastData {
  checkList(steps, path)
  if (steps.length > limits.upcastSteps) {
    throw new LimitExceeded({ limit: 'upcastSteps', allowed: limits.upcastSteps, actual: steps.length }, path)
  }
  const changes = steps.map((step, index) => compileStep(step, `${path}[${index}]`))
  // Data that an event does not have is recorded as null.
  return (data) => changes.reduce<unknown>((now, change) => change(now), data ?? undefined) ?? null
}

function compileStep(step: UpcastStep, path: string): UpcastData {
  checkObject(step, path)
  const names = Object.keys(step).sort().join(' ')
  if (names === 'move to') {
    const { move, to } = step as MoveStep
    return compileMove(parsePointer(move, `${path}.move`), parsePointer(to, `${path}.to`), `${path}.to`)
  }
  if (names === 'default value') {
    const { default: place, value } = step as DefaultStep
    canonicalJson(value, `${path}.value`)
    return at(parsePointer(place, `${path}.default`), (found) => (found === undefined ? value : found))
  }
  if (names === 'remove') return at(parsePointer((step as RemoveStep).remove, `${path}.remove`), () => undefined)
  throw new InvalidArgument(path, 'must be { move, to }, { default, value } or { remove }')
}

type Place = readonly string[]

function compileMove(from: Place, to: Place, path: string): UpcastData {
  const stars = Math.max(from.lastIndexOf('*'), to.lastIndexOf('*')) + 1
  if (from.slice(0, stars).join('/') !== to.slice(0, stars).join('/')) {
    throw new InvalidArgument(path, 'must be the same as "move" up to the last *, for items stay in their list')
  }
  const [inner, target] = [from.slice(stars), to.slice(stars)]
  const move = (data: unknown) => {
    const value = get(data, inner)
    if (value === undefined) return data
    const moved = put(put(data, inner, undefined), target, value)
    // A text or a number in the way stays, and so does what was to be moved behind it.
    return get(moved, target) === value ? moved : data
  }
  return at(from.slice(0, stars), (item) => (item === undefined ? item : move(item)))
}

/** Changes what is at the place: `undefined` is nothing. Items of a list are changed one by one. */
function at(place: Place, change: (found: unknown) => unknown): UpcastData {
  const star = place.indexOf('*')
  if (star < 0) {
    return (data) => {
      const before = get(data, place)
      const after = change(before)
      return after === before ? data : put(data, place, after)
    }
  }
  const list = place.slice(0, star)
  const each = at(place.slice(star + 1), change)
  return at(list, (found) => (Array.isArray(found) ? found.map((item) => each(item) ?? null) : found))
}

function get(data: unknown, place: Place): unknown {
  let value = data
  for (const name of place) {
    if (!isObject(value) || !Object.hasOwn(value, name)) return undefined
    value = value[name]
  }
  return value
}

/** The data with the value at the place, `undefined` for nothing; unchanged where something is in the way. */
function put(data: unknown, place: Place, value: unknown): unknown {
  const [name, ...rest] = place
  if (name === undefined) return value
  if (data !== undefined && !isObject(data)) return data
  const { [name]: before, ...others } = data ?? {}
  const after = put(isObject(data) && Object.hasOwn(data, name) ? before : undefined, rest, value)
  if (after === undefined) return data === undefined ? data : others
  return { ...data, [name]: after }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
