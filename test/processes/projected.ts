/** What processes that are killed fold: views of each kind in two versions, a decider with snapshots, a job that appends. */
import { randomUUID } from 'node:crypto'
import type { Decider } from '../../src/core/decider.ts'
import { type AnyProjection, type Lifecycle, projection } from '../../src/core/projection.ts'
import type { JobHandlers } from '../../src/core/worker.ts'

export interface Payment {
  readonly amount: number
  readonly town: string
  /** What paid it, where it was a job. */
  readonly job?: string
}
export type Paid = { readonly type: 'Paid'; readonly id: string; readonly data: Payment }

export const people = Array.from({ length: 12 }, (_, index) => `${index}`)
export const towns = ['Bern', 'Basel', 'Biel', 'Brig']

export interface Person {
  readonly kind: string
  /** Of the ids of all its events, in their order: other events, or another order, make another one. */
  readonly chain: string
  readonly sum: number
}
export interface Town {
  readonly kind: string
  readonly people: Readonly<Record<string, string>>
  readonly sum: number
}
export interface Total {
  readonly kind: string
  readonly payments: number
  readonly sum: number
}

const indexes = [{ name: 'all', equals: ['kind'], order: 'sum' }]
const streamTypes = ['person']
export const versions = [1, 2]

/** The second version counts twice what the first one counts. */
const byPerson = (name: string, lifecycle: Lifecycle) => (version: number) =>
  projection<Paid, Person>()({
    ...{ name, version, lifecycle, streamTypes, indexes },
    on: {
      Paid: (view, { id, data }) => ({
        kind: name,
        chain: link(view?.chain, id),
        sum: (view?.sum ?? 0) + data.amount * version,
      }),
    },
  })

const byTown = (version: number) =>
  projection<Paid, Town>()({
    ...{ name: 'towns', version, lifecycle: 'async', streamTypes, indexes },
    key: ({ data }) => data.town,
    on: {
      Paid: (view, { id, stream, data }) => ({
        kind: 'towns',
        people: { ...view?.people, [stream]: link(view?.people[stream], id) },
        sum: (view?.sum ?? 0) + data.amount * version,
      }),
    },
  })

const totals = (version: number) =>
  projection<Paid, Total>()({
    ...{ name: 'totals', version, lifecycle: 'inline', holds: 'totals', streamTypes, indexes },
    key: ({ data }) => data.town,
    on: {
      Paid: (view, { data }) => ({
        kind: 'totals',
        payments: (view?.payments ?? 0) + 1,
        sum: (view?.sum ?? 0) + data.amount * version,
      }),
    },
  })

export const names = ['accounts', 'followers', 'towns', 'totals']
export const inlineNames = ['accounts', 'totals']
export const projections: readonly AnyProjection[] = versions.flatMap((version) => [
  byPerson('accounts', 'inline')(version),
  byPerson('followers', 'async')(version),
  byTown(version),
  totals(version),
])

export const decider: Decider<Payment, Paid, { readonly chain: string; readonly sum: number }> = {
  initialState: () => ({ chain: '', sum: 0 }),
  evolve: ({ chain, sum }, { id, data }) => ({ chain: link(chain, id), sum: sum + data.amount }),
  decide: (data) => [{ type: 'Paid', id: randomUUID(), data }],
  snapshot: { name: 'person', version: 1, every: 3 },
}

/** Done twice it would be there twice: its event has another id each time. */
export const handlers: JobHandlers = {
  async pay({ job, heartbeat }) {
    const { person, ...data } = job.input as Payment & { readonly person: string }
    if (data.amount % 2) await heartbeat({ begun: true })
    const paid = { type: 'Paid', data: { ...data, job: job.id } }
    return { appends: [{ stream: `person/${person}`, events: [paid] }], result: 'paid' }
  },
}

export function link(chain: string | undefined, id: string): string {
  let hash = 0x811c9dc5
  for (const character of `${chain ?? ''}${id}`) hash = Math.imul(hash ^ character.charCodeAt(0), 0x01000193) >>> 0
  return hash.toString(36)
}
