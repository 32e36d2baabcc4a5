/**
 * Runtime schemas for event data, in any library that speaks Standard Schema. A schema says yes or no: what is recorded
 * is the data as it was given, never what a schema made of it.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { pathText } from './encoding.ts'
import { SchemaViolation } from './errors.ts'

export type EventSchemas = Readonly<Record<string, StandardSchemaV1>>

/** The union of events that schemas describe: `type CustomerEvent = EventFrom<typeof customerEvents>`. */
export type EventFrom<Schemas extends EventSchemas> = {
  [Type in keyof Schemas & string]: { readonly type: Type; readonly data: StandardSchemaV1.InferInput<Schemas[Type]> }
}[keyof Schemas & string]

/** What the schema of the type has against the data; nothing where it takes it, or where there is none. */
export async function checkSchema(
  schemas: EventSchemas,
  type: string,
  data: unknown,
  path: string,
): Promise<SchemaViolation | undefined> {
  if (!Object.hasOwn(schemas, type)) return undefined
  const result = await schemas[type]?.['~standard'].validate(data)
  if (!result?.issues) return undefined
  const issues = result.issues.map(({ message, path: steps = [] }) => ({
    path: pathText('data', steps.map(stepOf)),
    message,
  }))
  return new SchemaViolation({ path, eventType: type, issues })
}

function stepOf(step: PropertyKey | StandardSchemaV1.PathSegment): string | number {
  const key = typeof step === 'object' ? step.key : step
  return typeof key === 'number' ? key : String(key)
}
