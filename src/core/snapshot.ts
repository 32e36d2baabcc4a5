/**
 * Snapshots: the state of a decider at a revision of a stream, so that a load begins there. A snapshot is a cache: whatever
 * is wrong with one is found out, and then the stream is folded whole. Here is what one looks like, and when it holds.
 */
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex } from '@noble/hashes/utils.js'
import { checkObject } from './argument.ts'
import { checkCount } from './background.ts'
import { putDocument } from './document.ts'
import { canonicalJson, pathText, utf8, utf8Length } from './encoding.ts'
import { InvalidArgument } from './errors.ts'
import { derivedId } from './id.ts'
import { plainName } from './name.ts'
import type { CollectionSpec, Document, DocumentKey, DocumentWrite, Guard } from './storage.ts'
import { formatInstant } from './time.ts'

/** A decider says so that its states may be kept. They must survive JSON. */
export interface SnapshotPolicy {
  /** Of the decider; a name by the rules of stream types. */
  readonly name: string
  /** 1, 2, 3 …; one more wherever `initialState`, `evolve` or the store's upcasters come to other states than before. */
  readonly version: number
  /** A load that had to read so many events asks for a new snapshot. */
  readonly every?: number
  /** So does a load that took so long. */
  readonly slowerMs?: number
}

export interface Snapshot {
  readonly decider: string
  readonly version: number
  readonly stream: string
  /** Of the last event in it. */
  readonly revision: number
  /** Record time of that event. */
  readonly time: string
  /** Of what is stored. */
  readonly bytes: number
}

/** Whose snapshot it is. */
export type SnapshotKey = Pick<Snapshot, 'decider' | 'version' | 'stream'>

/** What a snapshot holds, and what must be so for it to hold. */
export interface SnapshotContent extends SnapshotKey {
  readonly logId: string
  /** How old events come up to new versions of their types: under other forms the state may be another. */
  readonly forms: string
  readonly revision: number
  /** Id of the event at the revision: another log has another one there. */
  readonly event: string
  /** Record time of that event, in epoch milliseconds. */
  readonly time: number
  readonly state: unknown
}

/** As it is stored. What lists show stands beside the content, which is hashed, and says the same. */
interface SnapshotBody extends SnapshotKey {
  readonly revision: number
  readonly time: number
  /** JSON text, for the canonical form would not keep the order of the state's keys. */
  readonly content: string
  /** SHA-256 of it. */
  readonly hash: string
}

export const snapshots: CollectionSpec = {
  collection: '$snapshots',
  indexes: [
    { name: 'stream', equals: ['stream'], order: 'decider' },
    { name: 'decider', equals: ['decider'], order: 'version' },
  ],
}

export function checkPolicy(policy: SnapshotPolicy, path: string): void {
  checkObject(policy, path)
  const { name, version, every, slowerMs } = policy
  if (typeof name !== 'string' || !plainName.test(name)) {
    throw new InvalidArgument(`${path}.name`, 'must be a name such as a stream type has: seat')
  }
  checkCount(version, `${path}.version`, Number.MAX_SAFE_INTEGER)
  if (every !== undefined) checkCount(every, `${path}.every`, Number.MAX_SAFE_INTEGER)
  if (slowerMs !== undefined && !(typeof slowerMs === 'number' && slowerMs > 0)) {
    throw new InvalidArgument(`${path}.slowerMs`, 'must be a number of milliseconds above 0')
  }
}

export function snapshotKey({ decider, version, stream }: SnapshotKey): DocumentKey {
  return { collection: snapshots.collection, key: derivedId([decider, version, stream]) }
}

/** Throws `InvalidArgument` with the place in the state that JSON would lose, `LimitExceeded` where there is too much of it. */
export function putSnapshot(content: SnapshotContent, guard: Guard): readonly DocumentWrite[] {
  const { decider, version, stream, revision, time, state } = content
  checkSurvives(state)
  const text = JSON.stringify(content)
  const body: SnapshotBody = { decider, version, stream, revision, time, content: text, hash: hashOf(text) }
  const { key } = snapshotKey(content)
  return putDocument(snapshots, { key, body, streams: [stream], if: guard })
}

/** As lists show it; absent where it cannot be read. */
export function snapshotOf({ body }: Pick<Document, 'body'>): Snapshot | undefined {
  try {
    const { decider, version, stream, revision, time } = JSON.parse(body) as SnapshotBody
    return { decider, version, stream, revision, time: formatInstant(time), bytes: utf8Length(body) }
  } catch {
    return undefined
  }
}

/** What it holds, where it is whole, and of this decider, version, stream and log, and of these forms. */
export function contentOf(
  document: Document,
  wanted: SnapshotKey & Pick<SnapshotContent, 'logId' | 'forms'>,
): SnapshotContent | undefined {
  try {
    const { content: text, hash, ...shown } = JSON.parse(document.body) as SnapshotBody
    if (hashOf(text) !== hash) return undefined
    const content = JSON.parse(text) as SnapshotContent
    const names = ['decider', 'version', 'stream', 'logId', 'forms'] as const
    const beside = ['decider', 'version', 'stream', 'revision', 'time'] as const
    const holds =
      names.every((name) => content[name] === wanted[name]) && beside.every((name) => content[name] === shown[name])
    return holds ? content : undefined
  } catch {
    // No JSON, or none of this shape.
    return undefined
  }
}

function hashOf(text: string): string {
  return bytesToHex(sha256(utf8(text)))
}

/** Throws `InvalidArgument` with the first place of a state that would come back as something else. */
export function checkSurvives(state: unknown): void {
  canonicalJson(state, 'state')
  const lost = lossOf(state, JSON.parse(JSON.stringify(state)), [])
  if (lost !== undefined) {
    throw new InvalidArgument(pathText('state', lost.path), `does not survive JSON, as a snapshot must: ${lost.why}`)
  }
}

interface Loss {
  readonly path: readonly (string | number)[]
  readonly why: string
}

function lossOf(before: unknown, after: unknown, path: readonly (string | number)[]): Loss | undefined {
  if (typeof before !== 'object' || before === null) {
    return Object.is(before, after) ? undefined : { path, why: `${before === 0 ? '-0' : String(before)} is lost` }
  }
  if (Object.getPrototypeOf(before) === null) return { path, why: 'an object without a prototype gets one' }
  const [had, has] = [before, after].map((value) => Reflect.ownKeys(value as object))
  const odd = had?.find((key, index) => key !== has?.[index])
  if (odd !== undefined) {
    return typeof odd === 'symbol'
      ? { path, why: `${String(odd)} is lost` }
      : {
          path: [...path, odd],
          why: 'it is undefined, or cannot be seen, and would be left out; use null, or leave it out',
        }
  }
  for (const key of Object.keys(before)) {
    const step = Array.isArray(before) ? Number(key) : key
    const values = [before, after].map((value) => (value as Readonly<Record<string, unknown>>)[key])
    const loss = lossOf(values[0], values[1], [...path, step])
    if (loss !== undefined) return loss
  }
  return undefined
}
