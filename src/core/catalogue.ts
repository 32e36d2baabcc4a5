/**
 * The catalogue: which event types are declared, kept as documents, so that every process and every client of the store
 * is held to it. A document for each type, and one that lists them with the commit that wrote each; processes look at that
 * one now and then, and read what has changed.
 */

import { errorOf, type Making } from './append.ts'
import { type Archived, notAtHand, readThrough } from './archived.ts'
import { checkObject } from './argument.ts'
import { checkWritable } from './background.ts'
import type { CommitQueue } from './commit-queue.ts'
import { misfits } from './compatible.ts'
import { parseContent } from './content.ts'
import { guardOf, putDocument } from './document.ts'
import { InvalidArgument, isStoreError, LimitExceeded, StoreBusy } from './errors.ts'
import { checkDeclaration, declaredIn, type EventType, type EventTypeDeclaration } from './event-type.ts'
import { type Catalogue, type InForce, inForceOf, nothingInForce } from './in-force.ts'
import { createSchemaCompiler, type SchemaCheck, type SchemaCompiler } from './json-schema.ts'
import { limits } from './limits.ts'
import { checkName } from './name.ts'
import { personalInSchema } from './personal-schema.ts'
import type { CollectionSpec, Document, DocumentKey, Guard, Storage, StreamAppend } from './storage.ts'
import { backoffMs, sleep } from './turn.ts'
import { EventTypeNotFound } from './work-errors.ts'

export interface EventTypes {
  /**
   * In force in this store when it resolves, and in every other process within 5 s. The same again changes nothing. Throws
   * `DefinitionClash` where the version is declared otherwise, `InvalidArgument` for what is no schema, is not the next
   * version, or leaves old events behind.
   */
  declare(declaration: EventTypeDeclaration, options?: DeclareOptions): Promise<EventType>
  /** All that are declared, in order of their names. */
  list(): Promise<readonly EventType[]>
  get(type: string): Promise<EventType | undefined>
  /** Lets no event of the type be written any more, until a new version is declared; those there are read as before. */
  retire(type: string): Promise<EventType>
}

export interface DeclareOptions {
  /** Stops the look at the events that are in the log already; nothing is declared then. */
  readonly signal?: AbortSignal
}

export interface Cataloguing {
  readonly storage: Storage
  readonly archived: Archived | undefined
  readonly queue: Pick<CommitQueue, 'add'>
  readonly newId: Making['newId']
  readonly readOnly: boolean
  /** Aborted when the store closes. */
  readonly closing: AbortSignal
}

export const eventTypes: CollectionSpec = { collection: '$event-types', indexes: [] }
/** No event type can be called so. */
const listKey = keyOf('$all')

/** Types, and the commits that wrote their documents. */
type Listed = readonly (readonly [type: string, written: string])[]

interface Known {
  /** By `performance.now()`, when reading began. */
  readonly at: number
  /** Version of the list. */
  readonly version: string | undefined
  readonly written: ReadonlyMap<string, { readonly commit: string; readonly type: EventType }>
  readonly inForce: InForce
}

export function createCatalogue(cataloguing: Cataloguing): Catalogue & { readonly face: EventTypes } {
  const { storage } = cataloguing
  const compile = createSchemaCompiler()
  let known: Known = { at: Number.NEGATIVE_INFINITY, version: undefined, written: new Map(), inForce: nothingInForce }
  let reading: { readonly at: number; readonly done: Promise<InForce> } | undefined

  async function readNow(at: number): Promise<InForce> {
    const [list] = await storage.getDocuments([listKey])
    if (list?.version === known.version) {
      known = { ...known, at }
      return known.inForce
    }
    const listed: Listed = list === undefined ? [] : (JSON.parse(list.body) as { types: Listed }).types
    const changed = listed.filter(([type, commit]) => known.written.get(type)?.commit !== commit)
    const documents = await getAll(changed.map(([type]) => keyOf(type)))
    const written = new Map(known.written)
    for (const document of documents) {
      written.set(document.key, { commit: document.version, type: typeOf(document) })
    }
    const types = [...written.values()].map(({ type }) => type).sort((a, b) => (a.type < b.type ? -1 : 1))
    known = { at, version: list?.version, written, inForce: inForceOf(types, compile) }
    return known.inForce
  }

  async function getAll(keys: readonly DocumentKey[]): Promise<readonly Document[]> {
    const found: Document[] = []
    for (let from = 0; from < keys.length; from += documentsAtOnce) {
      const documents = await storage.getDocuments(keys.slice(from, from + documentsAtOnce))
      found.push(...documents.filter((document) => document !== undefined))
    }
    return found
  }

  function read(since = performance.now() - limits.eventTypesMs): Promise<InForce> {
    if (known.at >= since) return Promise.resolve(known.inForce)
    if (reading !== undefined && reading.at >= since) return reading.done
    const at = performance.now()
    // One after the other, so that what is known is never older than it was.
    const before = reading?.done.catch(() => undefined)
    const done = (before ?? Promise.resolve()).then(() => readNow(at))
    const mine = { at, done }
    reading = mine
    const ended = () => {
      if (reading === mine) reading = undefined
    }
    done.then(ended, ended)
    return done
  }

  return {
    recent: () => (performance.now() - known.at < limits.eventTypesMs ? known.inForce : undefined),
    read,
    async readOrGuard() {
      try {
        return { inForce: await read() }
      } catch (error) {
        if (!isStoreError(error, 'storage-failed') && !isStoreError(error, 'store-busy')) throw error
        const { version } = known
        const guard: Guard = version === undefined ? { is: 'absent' } : { is: 'version', version }
        return { inForce: known.inForce, guard: { kind: 'check', key: listKey, if: guard } }
      }
    },
    isRecorded: (appends) => isRecorded(cataloguing, appends),
    face: faceOf(cataloguing, { compile, read }),
  }
}

/** What every storage gives in one go. */
const documentsAtOnce = 100

function faceOf(
  cataloguing: Cataloguing,
  { compile, read }: { readonly compile: SchemaCompiler; readonly read: Catalogue['read'] },
): EventTypes {
  const { storage } = cataloguing

  /** Until nobody comes between. `next` gives the type as it is to be, or what it is given where nothing changes. */
  async function change(
    type: string,
    next: (found: EventType | undefined) => EventType | Promise<EventType>,
  ): Promise<EventType> {
    checkWritable(cataloguing)
    for (let tries = 1; tries <= limits.executeTries; tries++) {
      const [document, list] = await storage.getDocuments([keyOf(type), listKey])
      const found = document && typeOf(document)
      const changed = await next(found)
      if (changed === found || (await put(cataloguing, changed, { document, list }))) {
        await read(performance.now())
        return changed
      }
      await sleep(backoffMs(tries, 5, 200))
    }
    throw new StoreBusy(`Others declare event types all the time; "${type}" was not changed`, 1_000)
  }

  return {
    async declare(declaration, options = {}) {
      checkDeclaration(declaration)
      checkObject(options, 'options')
      const check = await compile(declaration.schema)
      personalInSchema(declaration.schema)
      return change(declaration.type, async (found) => {
        options.signal?.throwIfAborted()
        const next = declaredIn(found, declaration)
        if (next.version !== found?.version && declaration.upcast === undefined) {
          await checkOldEvents(cataloguing, { found, declaration, check, signal: options.signal })
        }
        return next
      })
    },
    async list() {
      const { types } = await read(performance.now())
      return [...types.values()].map(({ declared }) => declared)
    },
    async get(type) {
      checkName(type, 'type', 'event type', limits.eventTypeCharacters)
      const [document] = await storage.getDocuments([keyOf(type)])
      return document && typeOf(document)
    },
    retire(type) {
      checkName(type, 'type', 'event type', limits.eventTypeCharacters)
      return change(type, (found) => {
        if (found === undefined) throw new EventTypeNotFound(type)
        return found.retired ? found : { ...found, retired: true }
      })
    },
  }
}

/** False where another has written in between. */
async function put(
  { queue, newId }: Cataloguing,
  type: EventType,
  { document, list }: { readonly document: Document | undefined; readonly list: Document | undefined },
): Promise<boolean> {
  const id = newId()
  const others = list === undefined ? [] : (JSON.parse(list.body) as { types: Listed }).types
  const types: Listed = [...others.filter(([other]) => other !== type.type), [type.type, id]]
  if (types.length > limits.eventTypes) {
    throw new LimitExceeded({ limit: 'eventTypes', allowed: limits.eventTypes, actual: types.length }, 'declare')
  }
  const documents = [
    ...putDocument(eventTypes, { key: type.type, body: type, if: guardOf(document) }),
    ...putDocument(eventTypes, { key: listKey.key, body: { types }, if: guardOf(list) }),
  ]
  const outcome = await queue.add({ id, appends: [], documents })
  if (outcome.outcome === 'committed') return true
  if (outcome.outcome === 'document-conflict') return false
  throw errorOf(outcome)
}

interface OldEvents {
  readonly found: EventType | undefined
  readonly declaration: EventTypeDeclaration
  readonly check: SchemaCheck
  readonly signal: AbortSignal | undefined
}

/**
 * A version that does not say how old events come up to it must take them as they are: all that the version before could
 * take, or, where there was none, all that are in the log.
 */
async function checkOldEvents(cataloguing: Cataloguing, old: OldEvents): Promise<void> {
  const { found, declaration } = old
  const before = found?.versions.at(-1)
  const refused = before ? misfits(before.schema, declaration.schema) : await refusedEvent(cataloguing, old)
  if (refused.length === 0) return
  const told = refused.slice(0, limits.schemaIssues).join('; ')
  const which = before ? `events of version ${before.version} may not fit` : 'an event in the log does not fit'
  const mend = 'give the steps that bring old events up to it, or [] to take them as they are'
  throw new InvalidArgument('upcast', `is missing, and ${which}: ${told}; ${mend}`)
}

async function refusedEvent({ storage, archived }: Cataloguing, { declaration, check, signal }: OldEvents) {
  const { type } = declaration
  let after = 0
  for (let more = true; more; ) {
    signal?.throwIfAborted()
    const page = await storage.readLog({ types: [type], after, direction: 'forwards', limit: limits.iterateRecords })
    const refused = await readThrough(archived, page.records, (record) => {
      if (record.state === 'trimmed') return notAtHand(record)
      const [issue] = record.state === 'stored' ? check(parseContent(record.content).data) : []
      return issue && `revision ${record.revision} of "${record.stream}", ${issue.path}: ${issue.message}`
    })
    const first = refused.find((told) => told !== undefined)
    if (first !== undefined) return [first]
    after = page.scannedTo
    more = page.more
  }
  return []
}

/** Whether just these events are in the log: a repeat is answered before a guard that cannot hold is looked at. */
async function isRecorded({ queue, newId }: Cataloguing, appends: readonly StreamAppend[]): Promise<boolean> {
  const guard = { kind: 'check', key: keyOf('$never'), if: { is: 'version', version: 'never' } } as const
  const outcome = await queue.add({ id: newId(), appends, documents: [guard] })
  if (outcome.outcome === 'busy' || outcome.outcome === 'failed') throw errorOf(outcome)
  return outcome.outcome === 'committed' || outcome.outcome === 'forgotten'
}

function keyOf(type: string): DocumentKey {
  return { collection: eventTypes.collection, key: type }
}

function typeOf(document: Document): EventType {
  return JSON.parse(document.body) as EventType
}
