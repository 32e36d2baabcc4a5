/**
 * Personal data that the schema of an event type marks: `"x-personal": true` where a value is about the event's stream,
 * `"x-personal": "customer/{/customer/id}"` where it is about another subject, `{ subject, mask, own }` to say more.
 */
import { InvalidArgument } from './errors.ts'
import type { JsonSchema } from './json-schema.ts'
import { type PersonalData, type PersonalRule, personalRule } from './subject.ts'

const keyword = 'x-personal'

/** Throws `InvalidArgument` for a mark that says nothing, or that stands where nobody could tell what it marks. */
export function personalInSchema(schema: JsonSchema): readonly PersonalRule[] {
  const found = new Map<string, { readonly mark: PersonalData; readonly fields: string[]; readonly path: string }>()

  function mark(value: unknown, pointer: string, path: string): void {
    const at = `${path}.${keyword}`
    const said: unknown = value === true ? {} : typeof value === 'string' ? { subject: value } : value
    if (said === false) return
    if (typeof said !== 'object' || said === null || 'fields' in said) {
      throw new InvalidArgument(at, 'must be true, the name of a subject, or { subject, mask, own }')
    }
    const text = JSON.stringify(said)
    const known = found.get(text)
    if (known) known.fields.push(pointer)
    else found.set(text, { mark: said, fields: [pointer], path: at })
  }

  function walk(part: unknown, pointer: string, path: string, within: readonly unknown[]): void {
    if (typeof part !== 'object' || part === null) return
    if (within.includes(part)) {
      // Only where it marks something does it matter that it has no end.
      if (JSON.stringify(part).includes(`"${keyword}"`)) {
        throw new InvalidArgument(
          `${path}.${keyword}`,
          'stands in a schema that refers to itself; mark the whole of it',
        )
      }
      return
    }
    const inside = [...within, part]
    for (const [name, value] of Object.entries(part)) {
      const at = `${path}.${name}`
      if (name === keyword) mark(value, pointer, path)
      else if (name === '$ref') walk(referred(schema, value), pointer, path, inside)
      else if (name === 'items' || name === 'additionalProperties' || name === 'contains') {
        walk(value, `${pointer}/*`, at, inside)
      } else if (name === 'prefixItems') {
        for (const [index, item] of Object.entries(value as object)) walk(item, `${pointer}/${index}`, at, inside)
      } else if (name === 'properties' || name === 'dependentSchemas') {
        for (const [key, item] of Object.entries(value as object)) {
          const step = name === 'properties' ? `/${key.replaceAll('~', '~0').replaceAll('/', '~1')}` : ''
          walk(item, pointer + step, `${at}.${key}`, inside)
        }
      } else if (name === 'patternProperties') {
        for (const [key, item] of Object.entries(value as object)) walk(item, `${pointer}/*`, `${at}.${key}`, inside)
      } else if (['allOf', 'anyOf', 'oneOf'].includes(name)) {
        for (const item of value as readonly unknown[]) walk(item, pointer, at, inside)
      } else if (['if', 'then', 'else'].includes(name)) walk(value, pointer, at, inside)
    }
  }

  walk(schema, '', 'schema', [])
  return [...found.values()].map(({ mark, fields, path }) =>
    personalRule({ ...mark, fields: [...new Set(fields)] }, path),
  )
}

/** What is under `$defs`, or anywhere else in the schema. */
function referred(schema: JsonSchema, ref: unknown): unknown {
  if (typeof ref !== 'string' || !ref.startsWith('#')) return undefined
  let found: unknown = schema
  for (const step of decodeURIComponent(ref.slice(1)).split('/').slice(1)) {
    const name = step.replaceAll('~1', '/').replaceAll('~0', '~')
    found = typeof found === 'object' && found !== null ? (found as Record<string, unknown>)[name] : undefined
  }
  return found
}
