/**
 * The documents that are truth, and not made of the log: what a backup must hold beside it. Views, snapshots and the state
 * of projections are made again; what waits, is declared, or says how far somebody is, is not.
 */
import { eventTypes } from './catalogue.ts'
import { consumerBodyOf, consumers, parkedFor } from './consumer.ts'
import { allIndexed } from './document.ts'
import { jobBodyOf, jobStates, jobs } from './job.ts'
import { ledgers, stateKey } from './ledger-state.ts'
import { limits } from './limits.ts'
import { parkedItems, parkedOf } from './parked.ts'
import { schedules } from './schedule.ts'
import { segments } from './segment.ts'
import type { CollectionSpec, Document, Storage } from './storage.ts'

export interface Truth {
  readonly spec: CollectionSpec
  /** All its documents, each once. */
  documents(storage: Reads): AsyncIterable<Document>
  /** Streams whose content the document holds. */
  streamsOf?(document: Document): readonly string[] | undefined
  /** As the log of this id must have it. */
  restored?(body: object, logId: string): object
}

type Reads = Pick<Storage, 'queryDocuments' | 'getDocuments' | 'listStreamTypes'>

export const truths: readonly Truth[] = [
  {
    spec: eventTypes,
    async *documents(storage) {
      const [list] = await storage.getDocuments([{ collection: eventTypes.collection, key: '$all' }])
      if (list === undefined) return
      const { types } = JSON.parse(list.body) as { readonly types: readonly (readonly [type: string])[] }
      for (const [key] of types) {
        const [document] = await storage.getDocuments([{ collection: eventTypes.collection, key }])
        if (document) yield document
      }
      yield list
    },
  },
  {
    spec: jobs,
    async *documents(storage) {
      const seen = new Set<string>()
      for (const state of jobStates) {
        for await (const document of all(storage, jobs, 'state', [state])) {
          // One that changes meanwhile may come twice.
          if (!seen.has(document.key)) yield document
          seen.add(document.key)
        }
      }
    },
    streamsOf: (document) => jobBodyOf(document).streams,
  },
  { spec: schedules, documents: (storage) => all(storage, schedules, 'next', ['schedule']) },
  {
    spec: consumers,
    documents: (storage) => all(storage, consumers, 'name', ['consumer']),
    // It holds the same events at the same positions.
    restored: (body, logId) => ({ ...body, logId }),
  },
  {
    spec: parkedItems,
    async *documents(storage) {
      for await (const document of all(storage, consumers, 'name', ['consumer'])) {
        yield* all(storage, parkedItems, 'of', [parkedFor(consumerBodyOf(document))])
      }
    },
    streamsOf: (document) => [parkedOf(document).stream],
  },
  {
    spec: segments,
    async *documents(storage) {
      for (const type of await storage.listStreamTypes()) yield* all(storage, segments, 'type', [type])
    },
  },
  {
    // Its tiles are made again of the log.
    spec: ledgers,
    async *documents(storage) {
      const [document] = await storage.getDocuments([stateKey])
      if (document) yield document
    },
  },
]

function all(storage: Reads, spec: CollectionSpec, index: string, equals: readonly string[]): AsyncGenerator<Document> {
  return allIndexed(storage, spec, { index, equals, limit: limits.pageRecords })
}
