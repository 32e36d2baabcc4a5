/** Event types as they are declared: versions of a schema, and how older events come up to each. Pure; kept by `catalogue.ts`. */
import { checkList, checkObject } from './argument.ts'
import { canonicalJson } from './encoding.ts'
import { InvalidArgument, LimitExceeded } from './errors.ts'
import type { JsonSchema } from './json-schema.ts'
import { limits } from './limits.ts'
import { checkEventType, checkStreamType } from './name.ts'
import { compileSteps, type UpcastData, type UpcastStep } from './upcast-step.ts'
import { DefinitionClash } from './work-errors.ts'

export interface EventTypeVersion {
  /** 1, 2, 3 …; new events are held to the newest. */
  readonly version: number
  /** JSON Schema 2020-12 of the data, complete in itself. */
  readonly schema: JsonSchema
  /**
   * How the data of an event of the version before comes up to this one (of version 1: of an event from before the type
   * was declared); `[]`: as it is. Left out, this version must take everything that the one before took.
   */
  readonly upcast?: readonly UpcastStep[]
  /** The only streams that may hold such events; left out, all may. */
  readonly streamTypes?: readonly string[]
  readonly description?: string
}

export interface EventTypeDeclaration extends EventTypeVersion {
  readonly type: string
}

export interface EventType {
  readonly type: string
  /** The newest. */
  readonly version: number
  /** Oldest first. */
  readonly versions: readonly EventTypeVersion[]
  /** No event of the type can be written any more. */
  readonly retired: boolean
}

/** Throws for what cannot be a declaration, but for its schema. */
export function checkDeclaration(declaration: EventTypeDeclaration): void {
  checkObject(declaration, 'declaration')
  const { type, version, schema, upcast, streamTypes, description } = declaration
  checkEventType(type, 'type')
  if (!Number.isSafeInteger(version) || version < 1) throw new InvalidArgument('version', 'must be 1, 2, 3 …')
  if (schema === undefined) throw new InvalidArgument('schema', 'is missing; true takes everything')
  if (upcast !== undefined) compileSteps(upcast, 'upcast')
  if (description !== undefined && typeof description !== 'string') {
    throw new InvalidArgument('description', 'must be a text, or left out')
  }
  if (streamTypes === undefined) return
  checkList(streamTypes, 'streamTypes')
  if (streamTypes.length === 0) throw new InvalidArgument('streamTypes', 'must name a stream type, or be left out')
  if (streamTypes.length > limits.queryTypes) {
    throw new LimitExceeded(
      { limit: 'queryTypes', allowed: limits.queryTypes, actual: streamTypes.length },
      'streamTypes',
    )
  }
  for (const [index, streamType] of streamTypes.entries()) checkStreamType(streamType, `streamTypes[${index}]`)
}

/**
 * The type with the declaration in it, which is the same where it stands there already. Throws `DefinitionClash` where it
 * stands there otherwise, `InvalidArgument` where it is not the next.
 */
export function declaredIn(found: EventType | undefined, declaration: EventTypeDeclaration): EventType {
  const { type, version, schema, upcast, streamTypes, description } = declaration
  const versions = found?.versions ?? []
  const known = versions[version - 1]
  const declared: EventTypeVersion = {
    version,
    schema,
    ...(upcast && { upcast }),
    ...(streamTypes && { streamTypes }),
    ...(description !== undefined && { description }),
  }
  if (known === undefined && version !== versions.length + 1) {
    throw new InvalidArgument('version', `must be ${versions.length + 1}, the next of "${type}"`)
  }
  if (known === undefined) return { type, version, versions: [...versions, declared], retired: false }
  for (const field of ['schema', 'upcast', 'streamTypes'] as const) {
    if (canonicalJson([known[field] ?? null]) === canonicalJson([declared[field] ?? null])) continue
    const what = `event type "${type}", version ${version},`
    throw new DefinitionClash({ what, field, mend: `declare what is new as version ${versions.length + 1}` })
  }
  // What is said of it binds nobody, and may change.
  if (found === undefined || known.description === description) return found as EventType
  return { ...found, versions: versions.with(version - 1, declared) }
}

/** Brings data from the version under which it was written (0: before any) to the newest. */
export function upcastOf({ versions }: EventType): (data: unknown, from: number) => unknown {
  const changes = versions.map(({ upcast = [] }): UpcastData => compileSteps(upcast, 'upcast'))
  return (data, from) => changes.slice(from).reduce((now, change) => change(now), data)
}
