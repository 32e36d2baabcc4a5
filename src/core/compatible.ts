/**
 * Whether every value that one schema takes is taken by the next. This cannot be decided for all schemas, so it errs to
 * one side: what it proves is so, and what it cannot prove it says, with the place. Keyword by keyword of the next schema,
 * one of the schemas that hold already must imply it.
 */
import { canonicalJson, pathText } from './encoding.ts'
import type { JsonSchema } from './json-schema.ts'
import { limits } from './limits.ts'

type Schema = Readonly<Record<string, unknown>>

/** Both documents, for their references, and what keeps the comparison from going on for ever. */
interface Comparison {
  readonly before: JsonSchema
  readonly after: JsonSchema
  /** Equal to the letter, so that whatever refers to something refers to the same. */
  readonly equal: boolean
  /** By what is being proved just now, how deep in the value. */
  readonly underWay: Map<string, number>
  /** Of each schema that was met, for the name of what is being proved. */
  readonly ids: Map<JsonSchema, number>
  steps: number
}

/** A value at a place, of which some schemas are known to hold. */
interface Known {
  readonly holds: readonly Schema[]
  readonly place: readonly (string | number)[]
}

/** What values that `before` takes `after` may refuse, and where; nothing: it takes them all. */
export function misfits(before: JsonSchema, after: JsonSchema): readonly string[] {
  const equal = canonicalJson(before) === canonicalJson(after)
  const comparison: Comparison = { before, after, equal, underWay: new Map(), ids: new Map(), steps: 0 }
  return compare(comparison, { holds: conjoined(comparison, [before]), place: [] }, after)
}

function compare(comparison: Comparison, known: Known, after: JsonSchema): readonly string[] {
  const { holds, place } = known
  if (after === true || holds.some((schema) => schema['not'] === true)) return []
  if (after === false) return [told(place, 'is not taken any more')]
  const tooMuch = ++comparison.steps > limits.schemaComparisons || comparison.underWay.size > limits.jsonDepth
  if (tooMuch) return [told(place, 'is too intricate to be compared')]
  // Where a schema refers to itself, what is being proved may be taken for granted further down in the value.
  const pair = [after, ...holds].map((schema) => idOf(comparison, schema)).join(' ')
  const depth = comparison.underWay.get(pair)
  if (depth !== undefined) return depth < place.length ? [] : [told(place, 'refers to itself')]
  comparison.underWay.set(pair, place.length)
  try {
    const reasons = Object.keys(after).flatMap((keyword) => broken(comparison, known, { after, keyword }))
    return reasons.length > 0 && byBranches(comparison, known, after) ? [] : reasons
  } finally {
    comparison.underWay.delete(pair)
  }
}

function idOf({ ids }: Comparison, schema: JsonSchema): number {
  const id = ids.get(schema) ?? ids.size
  ids.set(schema, id)
  return id
}

/** One of the branches holds as well, whichever it is. */
function byBranches(comparison: Comparison, { holds, place }: Known, after: JsonSchema): boolean {
  return holds.some((schema) => {
    // What is unevaluated depends on the branches.
    const { anyOf, oneOf, unevaluatedProperties: _, unevaluatedItems: __, ...others } = schema
    const branches = (anyOf ?? oneOf) as readonly JsonSchema[] | undefined
    if (branches === undefined) return false
    const rest = holds.map((other) => (other === schema ? others : other))
    return branches.every((branch) => {
      const more = conjoined(comparison, [branch])
      return compare(comparison, { holds: [...rest, ...more], place }, after).length === 0
    })
  })
}

interface Asked {
  readonly after: Schema
  readonly keyword: string
}

/** Why the keyword may refuse a value of which all these schemas hold. */
function broken(comparison: Comparison, known: Known, { after, keyword }: Asked): readonly string[] {
  const { holds, place } = known
  const wanted = after[keyword]
  const implied = (by: (schema: Schema) => boolean, reason: string) => (holds.some(by) ? [] : [told(place, reason)])
  const number = (schema: Schema, name: string) => (typeof schema[name] === 'number' ? schema[name] : Number.NaN)
  const now = `must now be of ${keyword} ${JSON.stringify(wanted)}`
  switch (keyword) {
    case 'type':
      return implied((schema) => typesOf(schema)?.every((type) => isOf(type, wanted)) ?? false, now)
    case 'enum':
    case 'const': {
      const taken = valuesOf({ [keyword]: wanted })
      return implied((schema) => valuesOf(schema)?.every((value) => taken?.includes(value)) ?? false, now)
    }
    case 'required':
      return (wanted as readonly string[])
        .filter(
          (name) => !outside(holds, 'object') && !holds.some((schema) => listOf(schema['required']).includes(name)),
        )
        .map((name) => told([...place, name], 'is required now'))
    case 'minimum':
    case 'exclusiveMinimum': {
      const least = wanted as number
      const strict = keyword === 'exclusiveMinimum'
      const above = (schema: Schema) =>
        strict ? number(schema, 'minimum') > least : number(schema, 'minimum') >= least
      return orOutside(
        holds,
        'number',
        implied((schema) => above(schema) || number(schema, 'exclusiveMinimum') >= least, now),
      )
    }
    case 'maximum':
    case 'exclusiveMaximum': {
      const most = wanted as number
      const strict = keyword === 'exclusiveMaximum'
      const below = (schema: Schema) => (strict ? number(schema, 'maximum') < most : number(schema, 'maximum') <= most)
      return orOutside(
        holds,
        'number',
        implied((schema) => below(schema) || number(schema, 'exclusiveMaximum') <= most, now),
      )
    }
    case 'minLength':
    case 'minItems':
    case 'minProperties':
      return orOutside(
        holds,
        sized[keyword],
        implied((schema) => number(schema, keyword) >= (wanted as number), now),
      )
    case 'maxLength':
    case 'maxItems':
    case 'maxProperties':
      return orOutside(
        holds,
        sized[keyword],
        implied((schema) => number(schema, keyword) <= (wanted as number), now),
      )
    case 'properties':
      if (outside(holds, 'object')) return []
      return Object.entries(wanted as Schema).flatMap(([name, property]) =>
        compare(comparison, propertyOf(comparison, known, name), property as JsonSchema),
      )
    case 'additionalProperties':
      return outside(holds, 'object') ? [] : additional(comparison, known, after)
    case 'items': {
      if (outside(holds, 'array')) return []
      if (after['prefixItems'] !== undefined) break
      const items = holds
        .filter((schema) => schema['prefixItems'] === undefined)
        .map((schema) => schema['items'] ?? true)
      const item = { holds: conjoined(comparison, items as JsonSchema[]), place: [...place, '*'] }
      return compare(comparison, item, wanted as JsonSchema)
    }
    case 'allOf':
      return (wanted as readonly JsonSchema[]).flatMap((schema) => compare(comparison, known, schema))
    case 'anyOf':
      if ((wanted as readonly JsonSchema[]).some((schema) => compare(comparison, known, schema).length === 0)) return []
      break
    case '$ref': {
      const target = resolve(comparison.after, wanted)
      if (target !== undefined) return compare(comparison, known, target)
      break
    }
    case 'uniqueItems':
      if (wanted === false || outside(holds, 'array')) return []
      break
    case 'prefixItems':
    case 'contains':
      if (outside(holds, 'array')) return []
      break
    case 'pattern':
      if (outside(holds, 'string')) return []
      break
    case 'multipleOf':
      if (outside(holds, 'number')) return []
      break
    default:
      if (silent.has(keyword) || keyword.startsWith('x-')) return []
  }
  const group = groups.find((keywords) => keywords.includes(keyword)) ?? [keyword]
  const same = (schema: Schema) => group.every((name) => isSame(comparison, name, [schema[name], after[name]]))
  return implied(same, `has another "${keyword}" now`)
}

const sized = {
  ...{ minLength: 'string', minItems: 'array', minProperties: 'object' },
  ...{ maxLength: 'string', maxItems: 'array', maxProperties: 'object' },
} as const

/** Keywords that mean something together only. */
const groups: readonly (readonly string[])[] = [
  ['if', 'then', 'else'],
  ['contains', 'minContains', 'maxContains'],
  ['prefixItems', 'items'],
  ['patternProperties', 'properties', 'additionalProperties'],
  ...['unevaluatedProperties', 'unevaluatedItems'].map((keyword) => [
    keyword,
    ...['properties', 'patternProperties', 'additionalProperties', 'items', 'prefixItems', 'contains'],
    ...['allOf', 'anyOf', 'oneOf', 'if', 'then', 'else', 'not', '$ref', '$dynamicRef', 'dependentSchemas'],
  ]),
]

/** Keywords that refuse nothing. */
const silent = new Set([
  ...[
    '$schema',
    '$id',
    '$anchor',
    '$dynamicAnchor',
    '$comment',
    '$defs',
    'definitions',
    'title',
    'description',
    'default',
  ],
  ...['deprecated', 'readOnly', 'writeOnly', 'examples', 'contentEncoding', 'contentMediaType', 'contentSchema'],
])

/** What a property of this name can be; without a name one that no schema names. */
function propertyOf(comparison: Comparison, { holds, place }: Known, name: string | undefined): Known {
  const schemas = holds.flatMap((schema): readonly unknown[] => {
    const { properties = {}, patternProperties, additionalProperties = true } = schema
    if (name !== undefined && Object.hasOwn(properties as Schema, name)) return [(properties as Schema)[name]]
    return patternProperties === undefined ? [additionalProperties] : []
  })
  return { holds: conjoined(comparison, schemas as readonly JsonSchema[]), place: [...place, name ?? '*'] }
}

function additional(comparison: Comparison, known: Known, after: Schema): readonly string[] {
  // With patterns, `patternProperties` has been compared as a whole.
  if (after['patternProperties'] !== undefined) return []
  const named = Object.keys((after['properties'] ?? {}) as Schema)
  const before = new Set(known.holds.flatMap(({ properties = {} }) => Object.keys(properties as Schema)))
  const others = [...before].filter((name) => !named.includes(name))
  return [...others, undefined].flatMap((name) =>
    compare(comparison, propertyOf(comparison, known, name), after['additionalProperties'] as JsonSchema),
  )
}

/** All that hold when these do: what they refer to, and what they are made of. `false` is what no value can be. */
function conjoined({ before }: Comparison, schemas: readonly JsonSchema[]): readonly Schema[] {
  const all = new Set<Schema>()
  const add = (schema: JsonSchema | undefined): void => {
    if (schema === undefined || schema === true) return
    const object = schema === false ? never : schema
    if (all.has(object)) return
    all.add(object)
    add(resolve(before, object['$ref']))
    for (const part of listOf(object['allOf'])) add(part as JsonSchema)
  }
  for (const schema of schemas) add(schema)
  return [...all]
}

const never: Schema = { not: true }

/** A reference within the document, `#` or `#/$defs/name`, where nothing in it has another address. */
function resolve(document: JsonSchema, ref: unknown): JsonSchema | undefined {
  if (typeof ref !== 'string' || typeof document === 'boolean') return undefined
  const parts = /^#(?:\/(\$defs|definitions)\/([^/]*))?$/.exec(ref)
  if (parts === null || canonicalJson(document).includes('"$id":')) return undefined
  const [, definitions, name = ''] = parts
  if (definitions === undefined) return document
  const known = document[definitions] as Readonly<Record<string, JsonSchema>> | undefined
  return known?.[decodeURIComponent(name).replaceAll('~1', '/').replaceAll('~0', '~')]
}

/** Equal to the letter, and referring to nothing that could differ. */
function isSame(
  { equal }: Comparison,
  keyword: string,
  [left, right]: readonly [left: unknown, right: unknown],
): boolean {
  if (left === undefined || right === undefined) return left === right
  const text = canonicalJson({ [keyword]: left })
  return text === canonicalJson({ [keyword]: right }) && (equal || !/"\$(ref|dynamicRef)":/.test(text))
}

function typesOf(schema: Schema): readonly string[] | undefined {
  if (schema['type'] !== undefined) return listOf([schema['type']].flat()) as readonly string[]
  return valuesOf(schema)?.map((text) => {
    const value: unknown = JSON.parse(text)
    if (value === null) return 'null'
    return Array.isArray(value) ? 'array' : Number.isInteger(value) ? 'integer' : typeof value
  })
}

/** In canonical form. */
function valuesOf({ const: constant, enum: values }: Schema): readonly string[] | undefined {
  if (constant !== undefined) return [canonicalJson(constant)]
  return values === undefined ? undefined : (values as readonly unknown[]).map((value) => canonicalJson(value))
}

function isOf(type: string, wanted: unknown): boolean {
  const types = [wanted].flat()
  return types.includes(type) || (type === 'integer' && types.includes('number'))
}

/** True where the value is of another type than the keyword is about. */
function outside(holds: readonly Schema[], type: string): boolean {
  return holds.some((schema) => typesOf(schema)?.every((own) => !isOf(own, type)) ?? false)
}

function orOutside(holds: readonly Schema[], type: string, reasons: readonly string[]): readonly string[] {
  return outside(holds, type) ? [] : reasons
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

function told(place: readonly (string | number)[], reason: string): string {
  return `${pathText('data', place)} ${reason}`
}
