/**
 * The contract in sentences. It needs no test runner: `for (const { promise, run } of storageConformance(open)) test(promise, run)`.
 * A storage that passes the first suite can carry a store; whatever offers the store's interface must pass the second.
 */
import type { ConformanceCase, OpenObjects, OpenStorage } from './kit.ts'
import { storing } from './objects/storing.ts'
import { boundaries } from './storage/boundaries.ts'
import { commits } from './storage/commits.ts'
import { documents } from './storage/documents.ts'
import { erasing } from './storage/erasing.ts'
import { races } from './storage/races.ts'
import { reading } from './storage/reading.ts'
import { retries } from './storage/retries.ts'
import { appending } from './store/appending.ts'
import { archiving, type OpenEmbedded } from './store/archiving.ts'
import { backingUp } from './store/backing-up.ts'
import { consuming } from './store/consuming.ts'
import { deciding } from './store/deciding.ts'
import { encrypting } from './store/encrypting.ts'
import { declaring } from './store/event-types.ts'
import { versioning } from './store/event-versions.ts'
import { forgetting } from './store/forgetting.ts'
import { histories } from './store/histories.ts'
import { working } from './store/jobs.ts'
import type { OpenStore } from './store/kit.ts'
import { ledgering } from './store/ledger.ts'
import { liveSnapshotting } from './store/live-snapshots.ts'
import { parking } from './store/parking.ts'
import { projecting } from './store/projecting.ts'
import { reading as storeReading } from './store/reading.ts'
import { rebuilding } from './store/rebuilding.ts'
import { replaying } from './store/replaying.ts'
import { scheduling } from './store/schedules.ts'
import { snapshotting } from './store/snapshots.ts'
import { writingDown } from './store/states.ts'
import { viewing } from './store/viewing.ts'
import { takingOver } from './store/workers.ts'

export type { ConformanceCase, OpenObjects, OpenStorage, Setting } from './kit.ts'
export type { OpenEmbedded } from './store/archiving.ts'
export type { OpenStore, StoreSetting } from './store/kit.ts'

export function storageConformance(open: OpenStorage): readonly ConformanceCase[] {
  return [commits, retries, reading, boundaries, documents, erasing, races].flatMap((subject) => subject(open))
}

/** What archives and backups are kept in. */
export function objectConformance(open: OpenObjects): readonly ConformanceCase[] {
  return storing(open)
}

/** What users hold: the embedded store, and every client that offers the same interface. */
export function storeConformance(open: OpenStore): readonly ConformanceCase[] {
  return [appending, storeReading, deciding, histories].flatMap((subject) => subject(open))
}

/** Projections and their views; of a client, with those defined and run beside its server. */
export function viewConformance(open: OpenStore): readonly ConformanceCase[] {
  return [projecting, viewing, rebuilding, replaying].flatMap((subject) => subject(open))
}

/** Work in the background, and what is declared; of a client, with the handlers' work done beside its server. */
export function workConformance(open: OpenStore): readonly ConformanceCase[] {
  return [working, takingOver, scheduling, consuming, parking, declaring].flatMap((subject) => subject(open))
}

/** Digests and proofs. */
export function ledgerConformance(open: OpenStore): readonly ConformanceCase[] {
  return ledgering(open)
}

/** What an embedded store alone has: events as they were recorded, and snapshots by deciders that its caller brings. */
export function embeddedConformance(open: OpenStore): readonly ConformanceCase[] {
  return [versioning, snapshotting, liveSnapshotting].flatMap((subject) => subject(open))
}

/** An embedded store and its archive, encrypted too; the object store must pass `objectConformance`. */
export function archiveConformance(open: OpenEmbedded, openObjects: OpenObjects): readonly ConformanceCase[] {
  return [archiving, encrypting].flatMap((subject) => subject(open, openObjects))
}

/** State snapshots of an embedded store's views; the object store likewise. */
export function stateConformance(open: OpenEmbedded, openObjects: OpenObjects): readonly ConformanceCase[] {
  return writingDown(open, openObjects)
}

/** Backups of stores on the storage, restored into others of its kind; forgetting in them, and in archives. */
export function backupConformance(open: OpenStorage, openObjects: OpenObjects): readonly ConformanceCase[] {
  return [backingUp, forgetting].flatMap((subject) => subject(open, openObjects))
}
