/** Loading from a snapshot: found, held against the stream as it is, and only then begun from. */
import type { Background } from './background.ts'
import { parseContent } from './content.ts'
import type { LoadOptions, Resumed } from './decider.ts'
import type { AnyEvent, Recorded } from './event.ts'
import { formed } from './form.ts'
import { limits } from './limits.ts'
import { checkStream } from './name.ts'
import { observe } from './observe.ts'
import { eventReader, type Range, rangeOf } from './read.ts'
import { contentOf, type SnapshotContent, type SnapshotKey, snapshotKey } from './snapshot.ts'
import type { Document, LogRecord } from './storage.ts'
import { detailsOf } from './stream.ts'

export interface Found {
  /** As it is stored, whatever is wrong with it. */
  readonly document: Document | undefined
  /** What one that is taken now must have. */
  readonly forms: string
  readonly logId: string
  /** Absent where none holds. */
  readonly resumed: Resumed<AnyEvent, unknown> | undefined
}

export interface Finding {
  find(key: SnapshotKey, options: LoadOptions): Promise<Found>
  /** Whole, and of now: whether the streams are still the ones that they were taken of only `find` looks. */
  readMany(keys: readonly SnapshotKey[]): Promise<readonly (SnapshotContent | undefined)[]>
  forms(): Promise<string>
}

export function createFinding({ storage, reading }: Pick<Background, 'storage' | 'reading'>): Finding {
  const { catalogue, observer } = reading
  let logId: Promise<string> | undefined

  /** It never changes. */
  function idOfLog(): Promise<string> {
    logId ??= storage.readLog({ after: 0, direction: 'backwards', limit: 1 }).then((page) => page.logId)
    logId.catch(() => {
      logId = undefined
    })
    return logId
  }

  async function formsNow(): Promise<string> {
    return (catalogue.recent() ?? (await catalogue.read())).forms
  }

  async function resume(content: SnapshotContent, range: Range): Promise<Found['resumed']> {
    const { stream, revision, state, forms } = content
    if (range.until !== undefined && range.until < revision) return undefined
    if (range.asOf !== undefined && range.asOf < content.time) return undefined
    // Together with its last event: the stream is still the one that it was taken of where that is the same.
    const from = { ...range, after: revision - 1, limit: limits.pageRecords }
    const { head, records, more } = await storage.readStream(stream, from)
    const [last, ...tail] = records
    if (head === undefined || last === undefined || last.revision !== revision || idOf(last) !== content.event) {
      return undefined
    }
    const events = await formed<AnyEvent, Recorded>(reading, tail.map(eventReader()))
    // The tail may have come in newer forms than the state was folded in.
    if ((await formsNow()) !== forms) return undefined
    return { state, revision, page: { details: detailsOf(head), events, more } }
  }

  return {
    forms: formsNow,
    async find(key, { at, signal }) {
      checkStream(key.stream)
      const range = rangeOf(at === undefined ? {} : { until: at })
      signal?.throwIfAborted()
      const [[document], forms, logId] = await Promise.all([
        storage.getDocuments([snapshotKey(key)]),
        formsNow(),
        idOfLog(),
      ])
      const content = document && contentOf(document, { ...key, forms, logId })
      if (content === undefined) return { document, forms, logId, resumed: undefined }
      const size = (resumed: Found['resumed']) => resumed?.page.events.length ?? 0
      const resumed = await observe(observer, { layer: 'store', name: 'read', size }, () => resume(content, range))
      return { document, forms, logId, resumed }
    },
    async readMany(keys) {
      const [documents, forms, logId] = await Promise.all([
        storage.getDocuments(keys.map(snapshotKey)),
        formsNow(),
        idOfLog(),
      ])
      return keys.map((key, index) => {
        const document = documents[index]
        return document && contentOf(document, { ...key, forms, logId })
      })
    },
  }
}

function idOf(record: LogRecord): string | undefined {
  switch (record.state) {
    case 'stored':
      return parseContent(record.content).id
    case 'trimmed':
      return record.id
    case 'forgotten':
    case 'tombstone':
      return undefined
  }
}
