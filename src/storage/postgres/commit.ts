/** A batch of commits as what `append_1` takes, its answer as outcomes, and what happens when it fails. */
import { conditionAfter, limitBroken, sizeOf, widestLimits } from '../../core/commit.ts'
import { streamTypeOf } from '../../core/name.ts'
import type { Commit, CommitOutcome, DocumentWrite, StreamAppend, StreamAppended } from '../../core/storage.ts'
import type { Clock } from '../../core/time.ts'
import { attachedOf, wordsOfDocument } from './documents.ts'
import { failureOf, type PostgresPool, rowsOf } from './driver.ts'
import { plainBatchOf } from './plain.ts'
import type { Session } from './session.ts'

/** The events of a batch in columns, counted from 1, and the tags of them all, each with the number of its event. */
interface Columns {
  readonly ids: string[]
  readonly types: string[]
  readonly contents: string[]
  /** Salt and commitment of each, 64 bytes. */
  readonly proofs: Uint8Array[]
  readonly tagEvents: number[]
  readonly tags: string[]
}

/** What the function adds to the port's outcomes: the core says what is wrong with the condition. */
type Answer = CommitOutcome | { readonly outcome: 'no-such-position'; readonly head: number }

/** On the pool, or on a client whose transaction it becomes a part of. */
export type Committing = Pick<Session, 'sql' | 'explain'> & { readonly pool: Pick<PostgresPool, 'query'> }

export async function commit(
  session: Committing,
  commits: readonly Commit[],
  clock: Clock,
): Promise<readonly CommitOutcome[]> {
  const broken = commits.map((commit) => limitBroken(sizeOf(commit), widestLimits))
  const sound = commits.filter((_, index) => broken[index] === undefined)
  const answers = sound.length === 0 ? [] : await append(session, sound, clock)
  let next = 0
  return broken.map((outcome) => outcome ?? (answers[next++] as CommitOutcome))
}

async function append(
  session: Committing,
  commits: readonly Commit[],
  clock: Clock,
): Promise<readonly CommitOutcome[]> {
  try {
    const plain = plainBatchOf(commits, clock())
    if (plain !== undefined) {
      const statement = plain.documents ? session.sql.appendDocuments : session.sql.appendPlain
      const [row] = await rowsOf<{ answer: string | null }>(session.pool, statement, plain.values)
      if (row?.answer) return plain.outcomesOf(numbersOf(row.answer))
    }
    const [row] = await rowsOf<{ outcomes: readonly Answer[] }>(
      session.pool,
      session.sql.append,
      valuesOf(commits, clock),
    )
    return commits.map((commit, index) => outcomeOf(commit, row?.outcomes[index]))
  } catch (error) {
    switch (failureOf(error)) {
      case 'lost':
        throw error
      case 'busy':
        return commits.map(() => ({ outcome: 'busy', retryAfterMs }))
      case 'refused': {
        if (commits.length === 1) return [{ outcome: 'failed', cause: await session.explain(error) }]
        // Nothing of the batch was written. One by one, so that only what is to blame fails.
        const outcomes: CommitOutcome[] = []
        for (const one of commits) outcomes.push(...(await append(session, [one], clock)))
        return outcomes
      }
    }
  }
}

const retryAfterMs = 100

/** An array of numbers as the server writes it. */
function numbersOf(array: string): readonly number[] {
  return array.slice(1, -1).split(',').map(Number)
}

function outcomeOf({ appends, condition = { query: [] } }: Commit, answer: Answer | undefined): CommitOutcome {
  if (answer === undefined) throw new Error('A commit was not answered')
  if (answer.outcome === 'committed') return { ...answer, streams: answer.streams.map(appendedOf) }
  if (answer.outcome === 'conflict') {
    const { expected = answer.expected } = appends.find(({ stream }) => stream === answer.stream) ?? {}
    return { ...answer, expected }
  }
  if (answer.outcome !== 'no-such-position') return answer
  const refused = conditionAfter(condition, answer.head)
  if (typeof refused === 'number') throw new Error(`The condition was refused at ${refused} of ${answer.head}`)
  return refused
}

/** In the order of properties that both functions' answers then have. */
function appendedOf({ stream, first, last, time, position }: StreamAppended): StreamAppended {
  return { stream, first, last, time, ...(position !== undefined && { position }) }
}

function valuesOf(commits: readonly Commit[], clock: Clock): readonly unknown[] {
  const columns: Columns = { ids: [], types: [], contents: [], proofs: [], tagEvents: [], tags: [] }
  const described = JSON.stringify(commits.map((commit) => describeCommit(commit, columns)))
  const { ids, types, contents, proofs, tagEvents, tags } = columns
  return [described, ids, types, contents, Buffer.concat(proofs), tagEvents, tags, clock()]
}

function describeCommit({ id, appends, condition, documents = [] }: Commit, columns: Columns) {
  return {
    id,
    events: appends.reduce((count, { events }) => count + events.length, 0),
    appends: appends.map((append) => describeAppend(append, columns)),
    ...(condition && { query: condition.query, after: afterOf(condition) }),
    ...(documents.length > 0 && { documents: documents.map(describeDocument) }),
  }
}

/** A guard that no decision read gave is a position that no log has. */
function afterOf(condition: NonNullable<Commit['condition']>): number {
  const after = conditionAfter(condition, Number.POSITIVE_INFINITY)
  return typeof after === 'number' ? after : -1
}

function describeAppend({ stream, expected, at, events, tombstone }: StreamAppend, columns: Columns) {
  const first = columns.ids.length + 1
  const firstTag = columns.tags.length + 1
  for (const { id, type, content, salt, commitment, tags } of events) {
    columns.ids.push(id)
    columns.types.push(type)
    columns.contents.push(content)
    columns.proofs.push(salt, commitment)
    for (const tag of tags) {
      columns.tagEvents.push(columns.ids.length)
      columns.tags.push(tag)
    }
  }
  const lastTag = columns.tags.length
  return {
    stream,
    type: streamTypeOf(stream),
    expected: typeof expected === 'number' || at === undefined ? expected : endText(expected, at),
    first,
    last: columns.ids.length,
    ...(lastTag >= firstTag && { tags: [firstTag, lastTag] }),
    ...(tombstone && { tombstone }),
  }
}

/** As a text it says where the stream must end, and yet not where a repeat has to be. A new one never exists. */
function endText(expected: 'any' | 'exists', at: number): string {
  return expected === 'exists' && at === 0 ? 'nowhere' : String(at)
}

function describeDocument(write: DocumentWrite) {
  const { collection, key } = write.key
  const guard = write.if.is === 'version' ? { if: 'version', version: write.if.version } : { if: write.if.is }
  if (write.kind !== 'put') return { kind: write.kind, collection, key, ...guard }
  const { body, words } = write
  return {
    ...{ kind: write.kind, collection, key, ...guard, body, attached: attachedOf(write) },
    ...(words && { words: wordsOfDocument(collection, words) }),
  }
}
