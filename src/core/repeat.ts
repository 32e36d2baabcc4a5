/**
 * Repeats across a change of event types. An append may be repeated for ever, also after a version was declared by which
 * its events would be stamped otherwise: what is in the log already keeps the stamp with which it was recorded.
 */
import { type Making, makeEvent } from './append.ts'
import type { CommitQueue } from './commit-queue.ts'
import { parseContent } from './content.ts'
import { restamped, versionOf } from './stamp.ts'
import type { Commit, CommitOutcome, PreparedEvent, Storage, StreamAppend } from './storage.ts'

type Reused = CommitOutcome & { readonly outcome: 'id-reused' }

/** Commits what is refused for its ids once more, as it was recorded, where it differs from that by its stamps alone. */
export function addingRepeats(
  queue: Pick<CommitQueue, 'add'>,
  storage: Pick<Storage, 'readStream'>,
  making: Pick<Making, 'random'>,
): Pick<CommitQueue, 'add'> {
  async function addAsRecorded(commit: Commit, reused: Reused): Promise<CommitOutcome> {
    let current = commit
    let outcome: CommitOutcome = reused
    // Each time the stamps of one stream are set right.
    while (outcome.outcome === 'id-reused') {
      const next = await asRecorded(current, outcome)
      if (next === undefined) return outcome
      current = next
      outcome = await queue.add(current)
    }
    return outcome
  }

  /** `undefined` where no stamp differs from the one in the log. */
  async function asRecorded(commit: Commit, { id, stream, revision }: Reused): Promise<Commit | undefined> {
    const append = commit.appends.find((append) => append.stream === stream)
    const at = append?.events.findIndex((event) => event.id === id) ?? -1
    if (append === undefined || at < 0 || revision <= at) return undefined
    const range = { after: revision - 1 - at, direction: 'forwards', limit: append.events.length } as const
    const { records } = await storage.readStream(stream, range)
    const versions = new Map<string, number>()
    for (const record of records) {
      if (record.state !== 'stored') continue
      const { id, meta } = parseContent(record.content)
      versions.set(id, versionOf(meta))
    }
    const events = append.events.map((event) => withStamp(event, versions.get(event.id)))
    if (events.every((event, index) => event === append.events[index])) return undefined
    const changed: StreamAppend = { ...append, events }
    return { ...commit, appends: commit.appends.map((other) => (other === append ? changed : other)) }
  }

  function withStamp(event: PreparedEvent, version: number | undefined): PreparedEvent {
    if (version === undefined || version === versionOf(parseContent(event.content).meta)) return event
    return makeEvent({ newId: () => event.id, random: making.random }, restamped(event.content, version), 'event')
  }

  return {
    add: (commit) =>
      queue.add(commit).then((outcome) => (outcome.outcome === 'id-reused' ? addAsRecorded(commit, outcome) : outcome)),
  }
}
