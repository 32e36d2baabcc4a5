/** Opening a store. Everything that it does lives in the file of its noun; here it is put together. */
import { type Appended, type AppendOptions, append, type Making, type StreamEvents } from './append.ts'
import { archiveHandler, checkArchive, createArchive } from './archive.ts'
import { createArchived } from './archived.ts'
import { archives, createArchiving } from './archiving.ts'
import { checkList, checkObject } from './argument.ts'
import type { Background } from './background.ts'
import { checkBackupPlace, takeBackup } from './backup.ts'
import { createBackups } from './backups.ts'
import { boundaryPage, checkBoundaryRead, readBoundary } from './boundary.ts'
import { createCatalogue, eventTypes } from './catalogue.ts'
import { overtakeRunners } from './checkpoint.ts'
import { type CommitQueue, commitAlone, createCommitQueue } from './commit-queue.ts'
import { consumers } from './consumer.ts'
import { createConsumers } from './consumers.ts'
import { execute, type LoadsAndAppends, load } from './decider.ts'
import { createEncryption } from './encryption.ts'
import type { Erasing } from './erasure.ts'
import { StoreReadOnly, Unsupported } from './errors.ts'
import type { AnyEvent } from './event.ts'
import {
  checkLogRead,
  checkSubscribe,
  type LogReadOptions,
  logPage,
  logPages,
  type SubscribeOptions,
  subscriptionPages,
} from './feed.ts'
import { findSubjects } from './find-subjects.ts'
import { forgetHandler, resumeForgetting } from './forget.ts'
import {
  createForget,
  type ForgettingSubjects,
  forgetSubjectHandler,
  resumeForgettingSubjects,
} from './forget-subject.ts'
import { newId, secureRandom } from './id.ts'
import { createInline } from './inline.ts'
import { archiveKind, forgetKind, forgetSubjectKind, jobs } from './job.ts'
import { createJobs } from './jobs.ts'
import { createLedger } from './ledger.ts'
import { streamsPage, streamsPages } from './listing.ts'
import { snapshottingOf } from './live.ts'
import { checkStream, checkStreamType } from './name.ts'
import { watchedObjects } from './object-store.ts'
import { parkedItems } from './parked.ts'
import { parkedViews } from './parked-view.ts'
import { collectionsOf, shapesOf } from './projection.ts'
import { checkRegistered, createKnownStates, projectionStates, register } from './projection-state.ts'
import { createProjections } from './projections.ts'
import { checkFilter, type EventQuery } from './query.ts'
import {
  checkRead,
  eventPage,
  eventPages,
  flatten,
  pageRangeOf,
  type Reading,
  type ReadOptions,
  readingAs,
} from './read.ts'
import { deletesOfViews, forgetInViews } from './refold.ts'
import { addingRepeats } from './repeat.ts'
import { createReplays } from './replay.ts'
import { checkRestored } from './restoring.ts'
import { createRotation } from './rotation.ts'
import { schedules } from './schedule.ts'
import { segments } from './segment.ts'
import { snapshots } from './snapshot.ts'
import { createSnapshots } from './snapshots.ts'
import { type ForgottenInStates, forgetInStates } from './state-forgetting.ts'
import { checkStatesPlace, createStates } from './states.ts'
import type { Commit, Storage } from './storage.ts'
import type { EmbeddedStore } from './store-face.ts'
import type { StoreOptions } from './store-options.ts'
import { detailsOf } from './stream.ts'
import { tableShapesOf } from './tables.ts'
import { createViews } from './view.ts'
import { watched } from './watched.ts'

export type { EmbeddedStore, Store, StoreInfo } from './store-face.ts'

/** Takes the storage over, and closes it with the store. First finishes what an earlier process left of its forgetting. */
export async function openStore(bare: Storage, options: StoreOptions = {}): Promise<EmbeddedStore> {
  const { schemas, upcasters = [], deciders = [], backups = [], readOnly = false, observer, clock = Date.now } = options
  const random = options.random ?? secureRandom()
  const shapes = shapesOf(options.projections ?? [], bare)
  const closing = new AbortController()
  const makeId = options.newId ?? (() => newId(random))
  const stored = watched(bare, closing.signal, observer)
  const encryption = createEncryption({
    ...{ storage: stored, options: options.encryption, subjects: options.subjects, random, newId: makeId },
    ...{ catalogue: () => catalogue, archived: () => archived },
  })
  const storage = encryption.reading(stored)
  const accepted = encryption.writing({ ...bare, commit: stored.commit })
  const states = createKnownStates(bare, [...new Set(shapes.map(({ name }) => name))])
  const declaring = { add: (commit: Commit) => queue.add(commit) }
  if (options.archive) checkArchive(options.archive)
  checkList(backups, 'backups')
  backups.forEach(checkBackupPlace)
  if (options.states) checkStatesPlace(options.states)
  const objects = options.archive && watchedObjects(options.archive.objects)
  const archived = objects && createArchived(stored, objects, encryption.decrypt)
  const cataloguing = { storage, archived, queue: declaring, newId: makeId, readOnly, closing: closing.signal }
  const { face, ...catalogue } = createCatalogue(cataloguing)
  const forms = { archived, catalogue, upcasters }
  const { commitDocuments } = bare.limits
  const tables = tableShapesOf(options.tables ?? [], bare, upcasters)
  const inline = createInline({ shapes, tables, states, commitDocuments, ...forms })
  const repeating = (to: Pick<CommitQueue, 'add'>) => addingRepeats(to, { storage, archived }, { random })
  const commits = createCommitQueue(accepted, inline)
  const queue: CommitQueue = { ...repeating(commits), close: commits.close }
  const making: Making = { newId: makeId, random, schemas, catalogue }
  const reading: Reading = { storage, ...forms, observer, tail: new Map() }
  const writing = { storage, queue, making, clock, ...forms }
  const views = { ...writing, shapes, states }
  const background: Background = {
    ...{ ...writing, reading, readOnly },
    closing: closing.signal,
    running: new Set(),
  }
  // What is encrypted stays so on its way into digests, segments and backups.
  const beneath: Background = { ...background, storage: stored }
  const sealing = createLedger(beneath, options.ledger, encryption.proving(stored))
  const archive = objects && { ...beneath, objects, retention: options.archive?.retention ?? {} }
  const forgetInStatesOf = async (forgotten: ForgottenInStates) => {
    if (options.states) await forgetInStates(watchedObjects(options.states), forgotten, making)
  }
  const forgetting: Erasing = {
    ...writing,
    storage: stored,
    async forgetInViews(stream) {
      await overtakeRunners(writing, stream)
      await forgetInViews(views, stream)
      await forgetInStatesOf({ stream, how: 'closed' })
    },
    deletesOfViews: (stream) => deletesOfViews(views, stream),
    archive: archive && archived && { ...createArchiving(archive), objects: archive.objects, ...archived },
    backups: backups.map(watchedObjects),
  }
  const snapshotted = createSnapshots(background, [...deciders, ...snapshottingOf(shapes, clock)], encryption.marks)
  const renewing = { background, shapes, states, tables, forgetInStates: forgetInStatesOf, snapshots: snapshotted.face }
  const subjects: ForgettingSubjects = {
    forgetting,
    keys: encryption.keys,
    renewing,
    isSearched: encryption.isSearched,
  }
  const deciding: LoadsAndAppends = {
    readPage: (stream, options) => store.readPage(stream, options),
    append: (stream, events, options) => store.append(stream, events, options),
    resuming: snapshotted.resuming,
  }
  let closed: Promise<void> | undefined

  const write = async (
    to: Pick<CommitQueue, 'add'>,
    appends: readonly StreamEvents[],
    options: Omit<AppendOptions, 'expected'> = {},
  ) => {
    checkObject(options, 'options')
    options.signal?.throwIfAborted()
    if (readOnly) throw new StoreReadOnly()
    return append({ queue: to, making, upcasters, observer }, appends, options.condition)
  }
  const shutDown = async () => {
    await Promise.all([...background.running].map((running) => running.stop()))
    closing.abort()
    await queue.close()
    await bare.close()
  }

  const projections = {
    ...createProjections(background, shapes, states),
    ...createReplays({ ...background, shapes, states }),
  }
  const written = createStates({ ...background, shapes, projections, objects: options.states })
  const handlers = {
    [forgetKind]: forgetHandler(forgetting),
    [forgetSubjectKind]: forgetSubjectHandler(subjects),
    ...snapshotted.handlers,
    ...sealing.handlers,
    ...written.handlers,
    ...(archive && { [archiveKind]: archiveHandler(archive) }),
  }

  const store: EmbeddedStore = {
    async append(stream, events, options = {}) {
      checkObject(options, 'options')
      const { expected = 'any' } = options
      const [appended] = await write(queue, [{ stream, events, expected }], options)
      return appended as Appended
    },
    appendMany: (appends, options) => write(queue, appends, options),
    async appendWithin(transaction, appends, options) {
      const { commitWithin, readWithin } = encryption.writing(stored)
      if (commitWithin === undefined || readWithin === undefined) {
        throw new Unsupported('appendWithin', `${bare.name} takes no part in transactions of others`)
      }
      const within = {
        ...readWithin(transaction),
        commit: (commits: readonly Commit[]) => Promise.all(commits.map((commit) => commitWithin(transaction, commit))),
      }
      return write(repeating({ add: (commit) => commitAlone(within, inline, commit) }), appends, options)
    },
    read<Event extends AnyEvent>(stream: string, options: ReadOptions = {}) {
      checkRead(stream, options)
      return flatten(
        eventPages((range) => eventPage<Event>(readingAs(reading, options), stream, range), options),
        options.limit,
      )
    },
    async readPage(stream, options = {}) {
      checkStream(stream)
      const range = pageRangeOf(options)
      options.signal?.throwIfAborted()
      return eventPage(readingAs(reading, options), stream, range)
    },
    async details(stream) {
      checkStream(stream)
      const { head } = await storage.readStream(stream, { after: 0, direction: 'backwards', limit: 1 })
      return head && detailsOf(head)
    },
    streams(type, options = {}) {
      checkStreamType(type)
      checkObject(options, 'options')
      return flatten(streamsPages((page) => streamsPage(reading, type, page), options))
    },
    async streamsPage(type, options = {}) {
      checkStreamType(type)
      checkObject(options, 'options')
      return streamsPage(reading, type, options)
    },
    streamTypes: () => storage.listStreamTypes(),
    async readBoundary<Event extends AnyEvent>(query: EventQuery, options = {}) {
      checkBoundaryRead(query, options)
      return readBoundary((page) => boundaryPage<Event>(reading, query, page), options)
    },
    async readBoundaryPage(query, options = {}) {
      checkBoundaryRead(query, options)
      return boundaryPage(reading, query, options)
    },
    readLog<Event extends AnyEvent>(options: LogReadOptions = {}) {
      checkLogRead(options)
      return flatten(
        logPages((range) => logPage<Event>(readingAs(reading, options), options, range), options),
        options.limit,
      )
    },
    async readLogPage(options = {}) {
      checkFilter(options, 'filter')
      const range = pageRangeOf(options)
      options.signal?.throwIfAborted()
      return logPage(readingAs(reading, options), options, range)
    },
    subscribe<Event extends AnyEvent>(options: SubscribeOptions = {}) {
      checkSubscribe(options)
      const signal = options.signal ? AbortSignal.any([options.signal, closing.signal]) : closing.signal
      return flatten(subscriptionPages<Event>(readingAs(reading, options), options, signal), undefined, signal)
    },
    views: createViews({ ...views, loads: deciding }),
    execute: (decider, stream, command, options) => execute(deciding, decider, stream, command, options),
    load: (stream, fold, options) => load(deciding, stream, fold, options),
    forget: createForget(subjects, { readOnly }),
    eventTypes: face,
    snapshots: snapshotted.face,
    jobs: createJobs(background, handlers),
    consumers: createConsumers(background),
    archive: createArchive(archive),
    backups: createBackups(beneath, backups[0]),
    encryption: {
      ...createRotation(background, encryption.master),
      findSubjects: (options) => findSubjects({ ...encryption.finding, background: beneath, archived }, options),
    },
    backup: (to, options) => takeBackup(beneath, to, options),
    ledger: sealing.face,
    projections,
    states: written.face,
    async info() {
      const { logId, head } = await storage.readLog({ after: 0, direction: 'backwards', limit: 1 })
      return { logId, head, storage: bare.name, gauges: bare.gauges() }
    },
    close() {
      closed ??= shutDown()
      return closed
    },
    [Symbol.asyncDispose]: () => store.close(),
  }

  const prepare = async () => {
    await checkRestored(storage)
    if (readOnly) {
      await encryption.begin(queue, { readOnly })
      return checkRegistered(storage, shapes)
    }
    const own = [jobs, schedules, consumers, parkedItems, projectionStates, eventTypes, snapshots]
    await storage.declare([...own, segments, archives, ...sealing.collections, ...encryption.collections])
    await encryption.begin(queue, { readOnly })
    await register(writing, shapes)
    states.expire()
    await storage.declare(shapes.flatMap((shape) => [...collectionsOf(shape), parkedViews(shape)]))
    await resumeForgetting(forgetting)
    await resumeForgettingSubjects(subjects)
    await sealing.begin()
  }
  try {
    await prepare()
  } catch (error) {
    await store.close()
    throw error
  }
  return store
}
