/**
 * Repeats of what is encrypted. It is encrypted otherwise each time, so that no storage can tell a repeat by what it has: here
 * the events are read and compared as they were recorded, and by their ids alone once a key is gone.
 */
import type { Decrypt } from './decrypting.ts'
import { isEncrypted } from './encrypted.ts'
import type {
  Commit,
  CommitOutcome,
  LogRecord,
  PreparedEvent,
  Storage,
  StreamAppend,
  StreamAppended,
} from './storage.ts'
import { subjectKey } from './subject-keys.ts'

export interface Recalling {
  readonly newId: () => string
  /** Of the bare storage. */
  readonly readStream: Storage['readStream']
  /** Records that went to the archive, with their content; as they are where the archive is not at hand. */
  readonly unpack: (records: readonly LogRecord[]) => Promise<readonly LogRecord[]>
  readonly open: Decrypt
}

/**
 * The outcome of a commit that was refused for an id (`reused`), or that must not be written at all, where its events are in the
 * log already; undefined where they are not.
 */
export async function recordedAgain(
  recalling: Recalling,
  handing: Pick<Storage, 'commit'>,
  { appends }: Commit,
  reused?: CommitOutcome & { readonly outcome: 'id-reused' },
): Promise<CommitOutcome | undefined> {
  const written = appends.filter(({ events }) => events.length > 0)
  const found = new Map<string, StreamAppended>()
  let left = written
  let outcome = reused ?? (await probe(recalling, handing, left))
  while (outcome.outcome === 'id-reused') {
    const { id, stream, revision } = outcome
    const append = left.find((one) => one.stream === stream && one.events.some((event) => event.id === id))
    const appended = append && (await recorded(recalling, append, { id, revision }))
    if (appended === undefined) return outcome
    found.set(stream, appended)
    left = left.filter((one) => one !== append)
    if (left.length === 0) {
      const streams = written.map(({ stream }) => found.get(stream) as StreamAppended)
      return { outcome: 'committed', repeated: true, streams }
    }
    const next: CommitOutcome = await probe(recalling, handing, left)
    // A part of it is there, and the rest is not.
    if (next.outcome !== 'id-reused' && !final.has(next.outcome)) return outcome
    outcome = next
  }
  return final.has(outcome.outcome) ? outcome : undefined
}

/** What says nothing of whether the events are new. */
const final: ReadonlySet<CommitOutcome['outcome']> = new Set(['forgotten', 'busy', 'failed'])

/** Whether some of the ids are in the log: told before a guard that cannot hold is looked at, and without any content. */
async function probe(
  { newId }: Recalling,
  handing: Pick<Storage, 'commit'>,
  appends: readonly StreamAppend[],
): Promise<CommitOutcome> {
  const guard = { kind: 'check', key: subjectKey('$never'), if: { is: 'version', version: 'never' } } as const
  const bare = appends.map(({ stream, expected, events }) => ({ stream, expected, events: events.map(withoutContent) }))
  const [outcome] = await handing.commit([{ id: newId(), appends: bare, documents: [guard] }])
  return outcome as CommitOutcome
}

function withoutContent(event: PreparedEvent): PreparedEvent {
  const content = JSON.stringify([event.id, event.type, event.tags, null, null])
  // Never that of an event: no two repeats have the same salt.
  return { ...event, content: `${content} `, contentBytes: 0 }
}

/** Where the events of the append are, if just they are there, in their order and place. */
async function recorded(
  { readStream, unpack, open }: Recalling,
  { stream, expected, events }: StreamAppend,
  { id, revision }: { readonly id: string; readonly revision: number },
): Promise<StreamAppended | undefined> {
  const first = revision - events.findIndex((event) => event.id === id)
  const last = first + events.length - 1
  if (first < 1 || (typeof expected === 'number' && expected + 1 !== first)) return undefined
  const records: LogRecord[] = []
  for (let more = true; more && records.length < events.length; ) {
    const after = records.at(-1)?.revision ?? first - 1
    const page = await readStream(stream, { after, until: last, direction: 'forwards', limit: events.length })
    records.push(...(await open(await unpack(page.records))))
    more = page.more && page.records.length > 0
  }
  if (records.length !== events.length || !events.every((event, index) => isSame(event, records[index])))
    return undefined
  const { time, position } = records.at(-1) as LogRecord
  return { stream, first, last, time, ...(position !== undefined && { position }) }
}

function isSame({ id, content }: PreparedEvent, record: LogRecord | undefined): boolean {
  switch (record?.state) {
    case 'stored': {
      const { plain } = record.evidence ?? {}
      if (!isEncrypted(record.content)) return record.content === content
      if (plain && plain !== 'damaged') return plain.content === content
      return record.content.startsWith(`[${JSON.stringify(id)},`)
    }
    case 'trimmed':
      return record.id === id
    case 'forgotten':
    case 'tombstone':
    case undefined:
      return false
  }
}
