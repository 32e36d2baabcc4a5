/**
 * Histories: what clients called, when, and what came back; and whether one order of it all explains every answer.
 *
 * A history is linearizable when each operation can be given one moment between its invocation and its response at which
 * it took effect. Streams do not know of each other, and a history is linearizable if and only if each of its streams is,
 * so that each is checked alone. In general that takes a search; here it does not, for a stream only grows and every id
 * is appended once:
 *
 * 1. The history ends with a read of the whole stream, begun when all else had been answered. What it shows is the order
 *    of all writes that took effect, and so the states that the stream was in: empty, after the first write, the second …
 * 2. Every other answer fits a run of neighbouring states: a conflict and a head exactly one, a read that came to the
 *    stream's end one, a read that was filled all from one on, an empty read all up to one. Number state n as 2n, the
 *    write that led to it as 2n − 1: then each operation has a lowest and a highest slot, a write one slot.
 * 3. Where a ended before b began, and a's lowest slot is above b's highest, no order explains both.
 * 4. Where there is no such pair there is an order: give each operation the highest of its own lowest slot and of those
 *    that ended before it began (rounded up to a state, for what is no write), and sort by slot, within a slot by
 *    invocation. It is never above the operation's highest slot, or that pair would be one of 3. Who ended before
 *    another began stands before it, since slots never fall along that relation; and no two writes share a slot.
 *
 * An append of unknown outcome that the stream shows is a write that never ended: it may not be seen before its
 * invocation. One that the stream does not show says nothing, for it may still come, or never.
 */
import type { Expected } from '../core/errors.ts'

interface Called {
  readonly client: string
  readonly stream: string
  /** Of one clock that never falls; operations that share an instant count as meeting. */
  readonly invoked: number
}

interface Answered extends Called {
  readonly responded: number
}

interface AppendCall {
  readonly kind: 'append'
  /** Of its events; no other append of the history has one of them. */
  readonly ids: readonly string[]
  readonly expected: Expected
}

export type AppendAnswer =
  | { readonly outcome: 'acknowledged'; readonly first: number; readonly last: number }
  | { readonly outcome: 'conflict'; readonly actual: number }
  /** For another reason; nothing was written. */
  | { readonly outcome: 'refused' }

/** Where there was no answer it may have been written, at any time after its invocation. */
export interface Unanswered {
  readonly outcome: 'unknown'
}

export type AppendOperation = AppendCall & ((Answered & AppendAnswer) | (Called & Unanswered))

export interface ReadOperation extends Answered {
  readonly kind: 'read'
  /** Exclusive. */
  readonly after: number
  /** Inclusive; absent, the read went to the stream's end. */
  readonly until?: number
  readonly events: readonly { readonly revision: number; readonly id: string }[]
}

export interface HeadOperation extends Answered {
  readonly kind: 'head'
  /** 0: there was no such stream. */
  readonly revision: number
}

export type Operation = AppendOperation | ReadOperation | HeadOperation

export interface Contradiction {
  readonly stream: string
  /** The two that cannot both be; or one that cannot be at all. */
  readonly operations: readonly Operation[]
  /** Says so in a sentence. */
  readonly message: string
}

/** The first contradiction of the first stream that has one. Throws where a stream's operations do not end with a read of it all. */
export function contradictionIn(history: readonly Operation[]): Contradiction | undefined {
  for (const [stream, operations] of Map.groupBy(history, ({ stream }) => stream)) {
    const found = contradictionInStream(stream, operations)
    if (found) return { stream, ...found }
  }
  return undefined
}

type Found = Omit<Contradiction, 'stream'>

/** The states of a stream and the writes between them, as the last read shows them. */
interface Growth {
  readonly last: ReadOperation
  readonly content: readonly string[]
  /** Revisions of state 0, 1, 2 … */
  readonly states: readonly number[]
  /** Each with the number of the state that it led to, from 1. */
  readonly writes: ReadonlyMap<AppendOperation, number>
}

/** Where an operation may stand among states (even) and writes (odd). */
interface Slots {
  readonly lowest: number
  readonly highest: number
}

interface Placed {
  readonly operation: Operation
  readonly slots: Slots
}

function contradictionInStream(stream: string, operations: readonly Operation[]): Found | undefined {
  const last = lastRead(stream, operations)
  const growth = growthOf(last, operations)
  if ('message' in growth) return growth
  const placed: Placed[] = []
  for (const operation of operations) {
    const slots = slotsOf(operation, growth)
    if (slots === undefined) continue
    if ('message' in slots) return slots
    placed.push({ operation, slots })
  }
  return inversion(placed, growth)
}

function lastRead(stream: string, operations: readonly Operation[]): ReadOperation {
  const last = operations.reduce((latest, operation) => (operation.invoked > latest.invoked ? operation : latest))
  const others = operations.filter((operation) => operation !== last)
  const alone = others.every((operation) => !('responded' in operation) || operation.responded < last.invoked)
  if (alone && last.kind === 'read' && last.after === 0 && last.until === undefined) return last
  throw new Error(`The history of ${stream} does not end with a read of the whole stream`)
}

/** Lays the appends over what the last read shows; each must be there whole, where it says, or not at all. */
function growthOf(last: ReadOperation, operations: readonly Operation[]): Growth | Found {
  const misread = revisionsBroken(last)
  if (misread) return misread
  const content = last.events.map(({ id }) => id)
  const appends = new Map<string, AppendOperation>()
  for (const operation of operations) {
    if (operation.kind === 'append') for (const id of operation.ids) appends.set(id, operation)
  }
  const states = [0]
  const writes = new Map<AppendOperation, number>()
  for (let before = 0; before < content.length; ) {
    const append = appends.get(content[before] ?? '')
    if (append === undefined) return found([last], `shows ${content[before]}, which nobody appended`)
    if (writes.has(append)) return found([append, last], ', and yet it is there twice in')
    const wrong = wronglyWritten(append, before, content)
    if (wrong) return found([append, last], `, and yet ${wrong} in`)
    before += append.ids.length
    states.push(before)
    writes.set(append, writes.size + 1)
  }
  return { last, content, states, writes }
}

/** What is wrong with an append that begins right after revision `before`. */
function wronglyWritten(append: AppendOperation, before: number, content: readonly string[]): string | undefined {
  const [first, last] = [before + 1, before + append.ids.length]
  const whole = append.ids.every((id, index) => content[before + index] === id)
  if (!whole) return 'its events do not stand together, in order,'
  if (!asExpected(append.expected, before)) return `it was written at revision ${first}`
  switch (append.outcome) {
    case 'acknowledged':
      return append.first === first && append.last === last ? undefined : `it is at revisions ${first} to ${last}`
    case 'conflict':
    case 'refused':
      return `it is at revisions ${first} to ${last}`
    case 'unknown':
      return undefined
  }
}

function asExpected(expected: Expected, revision: number): boolean {
  if (expected === 'any') return true
  return expected === 'exists' ? revision > 0 : expected === revision
}

/** Where the operation may stand; nowhere for an append that never took effect and saw nothing. */
function slotsOf(operation: Operation, growth: Growth): Slots | Found | undefined {
  switch (operation.kind) {
    case 'append':
      return slotsOfAppend(operation, growth)
    case 'read':
      return slotsOfRead(operation, growth)
    case 'head':
      return slotsOfState(operation, operation.revision, growth)
  }
}

function slotsOfAppend(append: AppendOperation, growth: Growth): Slots | Found | undefined {
  const led = growth.writes.get(append)
  if (led !== undefined) return { lowest: 2 * led - 1, highest: 2 * led - 1 }
  switch (append.outcome) {
    case 'acknowledged':
      return found([append, growth.last], ', and yet it is missing in')
    case 'conflict':
      if (asExpected(append.expected, append.actual)) return found([append], ', though that is what it expected')
      return slotsOfState(append, append.actual, growth)
    case 'refused':
    case 'unknown':
      return undefined
  }
}

/** The one state of the revision that the operation met. */
function slotsOfState(operation: Operation, revision: number, growth: Growth): Slots | Found {
  const { states, writes, last } = growth
  const state = firstFrom(states, revision)
  if (states[state] === revision) return { lowest: 2 * state, highest: 2 * state }
  const [torn] = [...writes].find(([, led]) => led === state) ?? []
  if (torn === undefined) return found([operation, last], 'met a revision that was not reached by')
  return found([operation, torn], 'met the stream in the middle of')
}

function slotsOfRead(read: ReadOperation, growth: Growth): Slots | Found {
  const misread = revisionsBroken(read)
  if (misread) return misread
  const { content, states, last } = growth
  const other = read.events.find(({ revision, id }) => content[revision - 1] !== id)
  if (other) return found([read, last], `has ${other.id} at revision ${other.revision}, where it is not in`)
  const end = read.after + read.events.length
  const all = 2 * (states.length - 1)
  if (read.until !== undefined && read.until <= read.after) return { lowest: 0, highest: all }
  // Filled to its bound, it does not know what came after that.
  if (end === read.until) return { lowest: 2 * firstFrom(states, end), highest: all }
  if (read.events.length > 0) return slotsOfState(read, end, growth)
  const beyond = firstFrom(states, read.after + 1)
  return { lowest: 0, highest: Math.min(all, 2 * (beyond - 1)) }
}

function revisionsBroken(read: ReadOperation): Found | undefined {
  const wrong = read.events.findIndex(({ revision }, index) => revision !== read.after + index + 1)
  if (wrong >= 0) {
    return found([read], `has revision ${read.events[wrong]?.revision} where ${read.after + wrong + 1} is due`)
  }
  const beyond = read.after + read.events.length > Math.max(read.after, read.until ?? Number.POSITIVE_INFINITY)
  return beyond ? found([read], 'has more than it asked for') : undefined
}

/** Index of the first state at or after the revision; the number of states where there is none. */
function firstFrom(states: readonly number[], revision: number): number {
  let [low, high] = [0, states.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((states[middle] ?? 0) < revision) low = middle + 1
    else high = middle
  }
  return low
}

/** Goes through the operations as they began, with the highest of the lowest slots of all that had ended by then. */
function inversion(placed: readonly Placed[], { states }: Growth): Found | undefined {
  const began = placed.toSorted((a, b) => a.operation.invoked - b.operation.invoked)
  const ended = placed
    .flatMap((one) => ('responded' in one.operation ? { ...one, responded: one.operation.responded } : []))
    .toSorted((a, b) => a.responded - b.responded)
  let next = 0
  let furthest: Placed | undefined
  for (const later of began) {
    for (let earlier = ended[next]; earlier && earlier.responded < later.operation.invoked; earlier = ended[++next]) {
      if (furthest === undefined || earlier.slots.lowest > furthest.slots.lowest) furthest = earlier
    }
    if (furthest === undefined || furthest.slots.lowest <= later.slots.highest) continue
    const reached = states[Math.ceil(furthest.slots.lowest / 2)]
    const wanted = states[Math.floor(later.slots.highest / 2)]
    const told = `had ended, and the stream was at revision ${reached} or later, when it was at ${wanted} or earlier for`
    return found([furthest.operation, later.operation], told)
  }
  return undefined
}

/** `says` joins the first operation with the second one. */
function found(operations: readonly [Operation, Operation?], says: string): Found {
  const [one, other] = operations
  const joined = says.startsWith(',') ? says : ` ${says}`
  const message = `${describe(one)}${joined}${other ? ` ${describe(other)}` : ''}`
  return { operations: other ? [one, other] : [one], message }
}

function describe(operation: Operation): string {
  const { client, stream, invoked } = operation
  const when = 'responded' in operation ? `(${invoked} to ${operation.responded})` : `(from ${invoked} on)`
  switch (operation.kind) {
    case 'append':
      return `${client}'s append of ${operation.ids.join(', ')} to ${stream} ${when}, which expected ${operation.expected} and ${outcomeIn(operation)}`
    case 'read': {
      const until = operation.until === undefined ? '' : ` to ${operation.until}`
      const ids = operation.events.map(({ id }) => id)
      const shown = ids.length > 6 ? [...ids.slice(0, 3), '…', ...ids.slice(-3)] : ids
      return `${client}'s read of ${stream} after ${operation.after}${until} ${when}, which gave [${shown.join(', ')}]`
    }
    case 'head':
      return `${client}'s look at ${stream} ${when}, which was at revision ${operation.revision}`
  }
}

function outcomeIn(append: AppendOperation): string {
  switch (append.outcome) {
    case 'acknowledged':
      return `was acknowledged at revisions ${append.first} to ${append.last}`
    case 'conflict':
      return `was in conflict with revision ${append.actual}`
    case 'refused':
      return 'was refused'
    case 'unknown':
      return 'was not answered'
  }
}
