/** Event types in force: what the declarations that are known here mean for those who write, and for those who read. */
import { parseContent } from './content.ts'
import { SchemaViolation } from './errors.ts'
import { type EventType, upcastOf } from './event-type.ts'
import { derivedId } from './id.ts'
import type { SchemaCheck, SchemaCompiler, SchemaIssue } from './json-schema.ts'
import { streamTypeOf } from './name.ts'
import type { DocumentWrite, StreamAppend } from './storage.ts'

export interface InForce {
  readonly types: ReadonlyMap<string, TypeInForce>
  /** Differs where old events come up in another way: what was folded under another one may be another state. */
  readonly forms: string
}

export interface TypeInForce {
  readonly declared: EventType
  /** Compiled when it is first needed. */
  check(): Promise<SchemaCheck>
  /** Brings data from the version under which it was written (0: before any) to the newest. */
  upcast(data: unknown, from: number): unknown
}

export interface Guarded {
  readonly inForce: InForce
  /** To be committed along, so that nothing is written by what is not in force any more. */
  readonly guard?: DocumentWrite
}

/** What those who write and read need of the catalogue. */
export interface Catalogue {
  /** What was read not long ago; absent where it must be read anew. */
  recent(): InForce | undefined
  /** Strongly consistent, and read after `since` (by `performance.now()`), or not long ago. */
  read(since?: number): Promise<InForce>
  /** For an append: `read`, or what was known last with the guard under which it is still so, where reading fails. */
  readOrGuard(): Promise<Guarded>
  /** Whether just these events are in the log already, so that the append is a repeat. */
  isRecorded(appends: readonly StreamAppend[]): Promise<boolean>
}

export const nothingInForce: InForce = { types: new Map(), forms: '' }

export function inForceOf(declared: Iterable<EventType>, compile: SchemaCompiler): InForce {
  const all = [...declared]
  const forms = all.flatMap(({ type, versions }) =>
    versions.flatMap(({ version, upcast = [] }) => (upcast.length > 0 ? [[type, version, upcast]] : [])),
  )
  return {
    types: new Map(all.map((type) => [type.type, typeInForce(type, compile)])),
    forms: forms.length === 0 ? '' : derivedId(forms),
  }
}

function typeInForce(declared: EventType, compile: SchemaCompiler): TypeInForce {
  let check: Promise<SchemaCheck> | undefined
  return {
    declared,
    check: () => {
      check ??= compile(declared.versions.at(-1)?.schema ?? true)
      return check
    },
    upcast: upcastOf(declared),
  }
}

/** The first event that its declaration refuses. What is looked at is what will be recorded, not what was given. */
export async function violationOf(
  { types }: InForce,
  appends: readonly StreamAppend[],
): Promise<SchemaViolation | undefined> {
  for (const [index, { stream, events }] of appends.entries()) {
    for (const [at, { type, content }] of events.entries()) {
      const declared = types.get(type)
      if (declared === undefined) continue
      const path = `${appends.length === 1 ? '' : `appends[${index}].`}events[${at}]`
      const misplaced = placeIssue(declared.declared, stream)
      if (misplaced !== undefined) return new SchemaViolation({ path, eventType: type, issues: [misplaced] })
      const check = await declared.check()
      const issues = check(parseContent(content).data)
      if (issues.length > 0) return new SchemaViolation({ path: `${path}.data`, eventType: type, issues })
    }
  }
  return undefined
}

function placeIssue({ retired, versions }: EventType, stream: string): SchemaIssue | undefined {
  if (retired) return { path: 'type', message: 'is retired: no event of it can be written any more' }
  const streamTypes = versions.at(-1)?.streamTypes
  if (streamTypes === undefined || streamTypes.includes(streamTypeOf(stream))) return undefined
  return { path: 'stream', message: `must be of type ${streamTypes.join(' or ')}, and is "${stream}"` }
}
