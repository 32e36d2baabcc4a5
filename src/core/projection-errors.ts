/** What can go wrong with projections and their views. */
import { isStoreError, StoreError } from './errors.ts'

/** The store has no projection of this name, or was opened with none. */
export class ProjectionNotFound extends StoreError {
  override readonly code = 'projection-not-found'
  declare readonly projection: string
  /** `known`: those that the store was opened with, where one of these was asked for. */
  constructor({ projection, known }: { projection: string; known?: readonly string[] }) {
    const told = known && `; the store was opened with: ${known.join(', ') || 'none'}`
    super(`There is no projection "${projection}"${told ?? ' in the store'}`, { projection })
  }
}

/** A version of a projection is stored with other facts than its definition has now. Nothing was changed. */
export class ProjectionClash extends StoreError {
  override readonly code = 'projection-clash'
  declare readonly projection: string
  declare readonly version: number
  /** Names of what differs: `indexes`, `types` … */
  declare readonly differs: readonly string[]
  constructor({ projection, version, differs }: { projection: string; version: number; differs: readonly string[] }) {
    const told = `Version ${version} of projection "${projection}" is stored with other ${differs.join(', ')}`
    super(`${told}: give the changed definition version ${version + 1}`, { projection, version, differs })
  }
}

/**
 * Events of an append belong into views of which this process has no definition, so that it would leave them wrong.
 * Nothing was written. Open the store with that version too.
 */
export class ProjectionMissing extends StoreError {
  override readonly code = 'projection-missing'
  declare readonly projection: string
  declare readonly version: number
  constructor({ projection, version }: { projection: string; version: number }) {
    const told = `Version ${version} of projection "${projection}" is in use, and this process has no definition of it`
    super(`${told}: open the store with it`, { projection, version })
  }
}

/** A handler threw, or gave what cannot be kept. Of an inline projection nothing was written; `cause` has its words. */
export class ProjectionFailed extends StoreError {
  override readonly code = 'projection-failed'
  declare readonly projection: string
  /** Absent where it writes into tables of the application's own. */
  declare readonly version?: number
  declare readonly stream: string
  declare readonly revision: number
  declare readonly eventType: string
  constructor(
    facts: Pick<ProjectionFailed, 'projection' | 'version' | 'stream' | 'revision' | 'eventType'>,
    cause: unknown,
  ) {
    const { projection, version, stream, revision, eventType } = facts
    const which = version === undefined ? `Tables "${projection}"` : `Projection "${projection}" version ${version}`
    super(
      `${which} failed at revision ${revision} of "${stream}" (${eventType}): ${cause instanceof Error ? cause.message : String(cause)}`,
      facts,
      cause,
    )
  }
}

/** What a handler threw at an event. Its own failure is told once, wherever it was met. */
export function failedAt(
  { name, version }: { readonly name: string; readonly version: number },
  { stream, revision, type }: { readonly stream: string; readonly revision: number; readonly type: string },
  cause: unknown,
): Error {
  if (isStoreError(cause, 'projection-failed')) return cause
  return new ProjectionFailed({ projection: name, version, stream, revision, eventType: type }, cause)
}

/** A unique index of a projection would hold the same values twice. Nothing was written. */
export class ValueTaken extends StoreError {
  override readonly code = 'value-taken'
  declare readonly projection: string
  declare readonly index: string
  constructor({ projection, index }: { projection: string; index: string }) {
    const told = `Another view of projection "${projection}" has the values that are unique in its index "${index}"`
    super(told, { projection, index })
  }
}

/** The views were never built to the end yet. */
export class ViewNotReady extends StoreError {
  override readonly code = 'view-not-ready'
  declare readonly projection: string
  declare readonly version: number
  constructor({ projection, version }: { projection: string; version: number }) {
    const told = `Version ${version} of projection "${projection}" is not built yet`
    super(`${told}: run store.projections.rebuild("${projection}")`, { projection, version })
  }
}

/** The view had not got to the event when the time to wait for it had passed. */
export class ViewBehind extends StoreError {
  override readonly code = 'view-behind'
  declare readonly projection: string
  declare readonly stream: string
  declare readonly revision: number
  declare readonly waitedMs: number
  constructor(facts: Pick<ViewBehind, 'projection' | 'stream' | 'revision' | 'waitedMs'>) {
    const { projection, stream, revision, waitedMs } = facts
    const told = `Projection "${projection}" has not got to revision ${revision} of "${stream}" within ${waitedMs} ms`
    super(told, { projection, stream, revision, waitedMs })
  }
}
