/**
 * Clients that append to streams and read them at random, each one call at a time and all of them at once, and write down
 * what they called and what came back. Storages fail meanwhile as `faults` has it; an append whose outcome is unknown
 * is mostly called again with the same ids, and is one operation until it is known.
 */
import assert from 'node:assert/strict'
import { type Expected, isStoreError, type RevisionConflict } from '../core/errors.ts'
import type { Recorded } from '../core/event.ts'
import type { Store } from '../core/store.ts'
import {
  type AppendAnswer,
  type AppendOperation,
  contradictionIn,
  type Operation,
  type ReadOperation,
  type Unanswered,
} from './history.ts'
import { range } from './kit.ts'
import { collect } from './store/kit.ts'

/** Where operations are written down. */
export interface Recorder {
  /** Of one clock for all clients that never falls. */
  now(): number
  /** An append comes twice: of unknown outcome before it is called, and with its outcome where there is one. */
  record(operation: Operation): void
}

export interface HistoryRecorder extends Recorder {
  history(): readonly Operation[]
}

/** Whose clock counts what is asked of it, so that no two instants are the same. */
export function createRecorder(): HistoryRecorder {
  const appends = new Map<string, Operation>()
  const others: Operation[] = []
  let instant = 0
  return {
    now: () => ++instant,
    record(operation) {
      if (operation.kind === 'append') appends.set(String(operation.ids[0]), operation)
      else others.push(operation)
    },
    history: () => [...appends.values(), ...others],
  }
}

export interface ClientsOptions {
  /** Handles on one log, over which the clients are spread. */
  readonly stores: readonly Store[]
  readonly recorder: Recorder
  /** A name for each, which no other client of the log has or had. */
  readonly clients: readonly string[]
  readonly streams: readonly string[]
  /** Of each client. */
  readonly operations: number
  /** From 0 to 1. */
  readonly random: () => number
  /** Called at random moments; the others go on meanwhile. */
  readonly faults?: () => Promise<void>
}

/** Rejects with what no store may answer, whatever its storage does. */
export async function runClients({ stores, clients, ...options }: ClientsOptions): Promise<void> {
  await Promise.all(
    clients.map((name, index) => run({ ...options, name, store: stores[index % stores.length] ?? assert.fail() })),
  )
}

/** Runs the clients, reads what they left, and asserts that one order explains it all. */
export async function checkClients(options: Omit<ClientsOptions, 'recorder'>): Promise<readonly Operation[]> {
  const recorder = createRecorder()
  await runClients({ ...options, recorder })
  await readToTheEnd(options.stores[0] ?? assert.fail(), options.streams, recorder)
  const history = recorder.history()
  assert.equal(contradictionIn(history)?.message, undefined)
  return history
}

/** Reads each stream whole, as a history ends; called when all clients are done. Tries again what fails. */
export async function readToTheEnd(store: Store, streams: readonly string[], recorder: Recorder): Promise<void> {
  for (const stream of streams) {
    const client = { name: 'the last reader', store, recorder }
    for (let tries = 1; !(await readWhole(client, stream)); tries++) {
      if (tries === 20) throw new Error(`${stream} could not be read in ${tries} tries`)
    }
  }
}

interface Reader {
  readonly name: string
  readonly store: Store
  readonly recorder: Recorder
}

interface Client extends Reader, Omit<ClientsOptions, 'stores' | 'clients'> {}

async function run(client: Client): Promise<void> {
  const { streams, operations, random, faults } = client
  /** Revisions as this client has last seen them: what it expects is mostly true, and often passed by. */
  const known = new Map<string, number>()
  for (const turn of range(1, operations)) {
    if (faults && random() < faultShare) await faults()
    const stream = streams[Math.floor(random() * streams.length)] ?? assert.fail()
    const seen = known.get(stream) ?? 0
    const kind = random()
    if (kind < 0.5) known.set(stream, await append(client, { stream, seen, turn }))
    else if (kind < 0.65) await readWhole(client, stream)
    else if (kind < 0.85) known.set(stream, await readPage(client, stream, seen))
    else known.set(stream, (await readHead(client, stream)) ?? seen)
  }
}

/** Of its operations a client spends so many on a fault first. */
const faultShare = 0.04
/** So many appends that are not yet known to be written, or not to be, are left so. */
const giveUpShare = 0.3
const appendTries = 30

/** The revision that the client then believes in. */
async function append(
  { name, store, recorder, random }: Client,
  { stream, seen, turn }: { readonly stream: string; readonly seen: number; readonly turn: number },
): Promise<number> {
  const ids = range(1, 1 + Math.floor(random() * 3)).map((part) => `${name}-${turn}-${part}`)
  const expected = expectation(random, seen)
  const call = { kind: 'append', client: name, stream, ids, expected, invoked: recorder.now() } as const
  recorder.record({ ...call, outcome: 'unknown' })
  for (let tries = 1, doubtful = false; ; tries++) {
    const invoked = recorder.now()
    const answer = await tryAppend(store, call)
    const responded = recorder.now()
    const last = tries === appendTries || random() < giveUpShare
    switch (answer.outcome) {
      case 'acknowledged':
        recorder.record({ ...call, ...answer, responded })
        return answer.last
      case 'conflict':
        // An earlier try may still be on its way, and come when the stream is at what it expects.
        if (doubtful && (expected === 'exists' || Number(expected) > answer.actual)) {
          recorder.record({ kind: 'head', client: name, stream, invoked, responded, revision: answer.actual })
        } else recorder.record({ ...call, ...answer, responded })
        return answer.actual
      case 'unknown':
        doubtful = true
        if (last) return seen
        break
      case 'refused':
        if (last && !doubtful) recorder.record({ ...call, ...answer, responded })
        if (last) return seen
    }
  }
}

function expectation(random: () => number, seen: number): Expected {
  const kind = random()
  if (kind < 0.3) return 'any'
  if (kind < 0.45) return 'exists'
  return kind < 0.9 ? seen : Math.max(0, seen - 1 + Math.floor(random() * 4))
}

async function tryAppend(
  store: Store,
  { stream, ids, expected }: Pick<AppendOperation, 'stream' | 'ids' | 'expected'>,
): Promise<AppendAnswer | Unanswered> {
  try {
    const events = ids.map((id) => ({ type: 'Happened', id }))
    const { first, revision } = await store.append(stream, events, { expected })
    return { outcome: 'acknowledged', first, last: revision }
  } catch (error) {
    if (isStoreError(error, 'revision-conflict')) {
      return { outcome: 'conflict', actual: (error as RevisionConflict).actual }
    }
    if (isStoreError(error, 'outcome-unknown')) return { outcome: 'unknown' }
    // Both promise that nothing was written.
    if (isStoreError(error, 'store-busy') || isStoreError(error, 'storage-failed')) return { outcome: 'refused' }
    throw error
  }
}

/** What the read gave; nothing where it failed, and so says nothing. */
async function answerOf<Answer>(read: Promise<Answer>): Promise<Answer | undefined> {
  try {
    return await read
  } catch (error) {
    if (isStoreError(error) && readFaults.has(error.code)) return undefined
    throw error
  }
}

const readFaults = new Set<string>(['store-busy', 'storage-failed', 'server-unreachable'])

async function readWhole({ name, store, recorder }: Reader, stream: string): Promise<boolean> {
  const invoked = recorder.now()
  const events = await answerOf(collect(store.read(stream)))
  const called = { client: name, stream, invoked, responded: recorder.now() }
  if (events) recorder.record({ kind: 'read', ...called, after: 0, events: shown(events) })
  return events !== undefined
}

/** Some events around what the client has last seen, or the newest ones; the page tells the head too. */
async function readPage({ name, store, recorder, random }: Client, stream: string, seen: number): Promise<number> {
  const count = 1 + Math.floor(random() * 6)
  const after = Math.max(0, seen - Math.floor(random() * 6))
  const backwards = random() < 0.3
  const bound = random() < 0.5 ? { until: after + count } : { limit: count }
  const invoked = recorder.now()
  const page = await answerOf(
    store.readPage(stream, backwards ? { direction: 'backwards', limit: count } : { after, ...bound }),
  )
  if (page === undefined) return seen
  const called = { client: name, stream, invoked, responded: recorder.now() }
  const newest = page.events.toReversed()
  recorder.record(
    backwards
      ? { kind: 'read', ...called, after: (newest[0]?.revision ?? 1) - 1, events: shown(newest) }
      : { kind: 'read', ...called, after, until: after + count, events: shown(page.events) },
  )
  const revision = page.details?.revision ?? 0
  recorder.record({ kind: 'head', ...called, revision })
  return revision
}

function shown(events: readonly Recorded[]): ReadOperation['events'] {
  return events.map(({ revision, id }) => ({ revision, id }))
}

async function readHead({ name, store, recorder }: Reader, stream: string): Promise<number | undefined> {
  const invoked = recorder.now()
  const details = await answerOf(store.details(stream).then((details) => ({ revision: details?.revision ?? 0 })))
  const called = { client: name, stream, invoked, responded: recorder.now() }
  if (details) recorder.record({ kind: 'head', ...called, ...details })
  return details?.revision
}
