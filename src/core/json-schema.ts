/**
 * JSON Schema 2020-12, by Ajv, which is loaded with the first schema that is needed. Strict where the standard lets things
 * pass unseen: a keyword or a format that nobody knows is an error when the schema is declared, for a schema with a typing
 * error in it would check nothing. Names that begin with `x-` are notes.
 */
import type { ErrorObject } from 'ajv/dist/2020.js'
import { checkObject } from './argument.ts'
import { canonicalJson, pathText } from './encoding.ts'
import { InvalidArgument, Unsupported } from './errors.ts'
import { limits } from './limits.ts'

export type JsonSchema = boolean | Readonly<Record<string, unknown>>

/** A place in the data, and what the schema has against it. */
export interface SchemaIssue {
  readonly path: string
  readonly message: string
}

/** What a schema has against the data: nothing where it takes it, at most `limits.schemaIssues` otherwise. */
export type SchemaCheck = (data: unknown) => readonly SchemaIssue[]

/** Throws `InvalidArgument` with the place of what is no schema, or refers to what is not in the schema itself. */
export type SchemaCompiler = (schema: JsonSchema) => Promise<SchemaCheck>

const dialect = 'https://json-schema.org/draft/2020-12/schema'
const asked = {
  allErrors: true,
  ownProperties: true,
  strictTypes: false,
  strictTuples: false,
  logger: false,
} as const

/** Each schema is compiled for itself, so that two may bear the same `$id`. */
export function createSchemaCompiler(): SchemaCompiler {
  let loaded: ReturnType<typeof load> | undefined
  return async (schema) => {
    checkSchemaShape(schema)
    loaded ??= load()
    const { Ajv2020, addFormats, about } = await loaded
    if (!about.validateSchema(schema)) {
      const [error] = about.errors ?? []
      throw new InvalidArgument(placeOf('schema', error), messageOf(error))
    }
    const ajv = new Ajv2020({ ...asked, meta: false, validateSchema: false })
    // Which properties were looked at is noted for these keywords alone, and Ajv's notes fail with some schemas and data.
    ajv.opts.unevaluated = /"unevaluated(Properties|Items)":/.test(JSON.stringify(schema))
    addFormats.default(ajv)
    for (const name of ['$anchor', ...notesIn(schema)]) ajv.addKeyword(name)
    try {
      const validate = ajv.compile(schema)
      const check = (data: unknown) =>
        validate(data) ? [] : (validate.errors ?? []).slice(0, limits.schemaIssues).map(issueOf)
      // A schema that runs in circles mostly does so with any data.
      check(null)
      check({})
      return (data) => {
        try {
          return check(data)
        } catch (error) {
          // One that runs in circles with some, or data with a name such as `valueOf`, which Ajv's comparisons call.
          return [{ path: 'data', message: `cannot be checked: ${(error as Error).message}` }]
        }
      }
    } catch (error) {
      throw refusalOf(error)
    }
  }
}

/** The answers of Ajv's own modules are as large as the rest of Daybook's core. */
async function load() {
  const [{ Ajv2020 }, { default: addFormats }] = await Promise.all([import('ajv/dist/2020.js'), import('ajv-formats')])
  return { Ajv2020, addFormats, about: new Ajv2020(asked) }
}

function checkSchemaShape(schema: JsonSchema): void {
  if (typeof schema === 'boolean') return
  checkObject(schema, 'schema')
  canonicalJson(schema, 'schema')
  const { $schema = dialect, $async } = schema
  if (typeof $schema !== 'string' || $schema.replace(/#$/, '') !== dialect) {
    throw new InvalidArgument('schema.$schema', `must be ${dialect}, or left out`)
  }
  if ($async !== undefined) throw new InvalidArgument('schema.$async', 'is none of JSON Schema 2020-12')
}

function notesIn(schema: JsonSchema): ReadonlySet<string> {
  const notes = new Set<string>()
  JSON.stringify(schema, (name, value) => {
    if (/^x-[a-z0-9_-]+$/i.test(name)) notes.add(name)
    return value
  })
  return notes
}

function refusalOf(error: unknown): Error {
  // Where a page or a runtime forbids code that is made at run time.
  if (error instanceof EvalError) return new Unsupported('json-schema', 'This runtime lets no schema be compiled')
  const { message } = error as Error
  if (error instanceof RangeError) return new InvalidArgument('schema', 'refers to itself without an end')
  if (/^can't resolve reference/.test(message)) {
    return new InvalidArgument('schema', `${message}; what it refers to must stand in it, under $defs`)
  }
  return new InvalidArgument('schema', message.replace(/^strict mode: /, ''))
}

function issueOf(error: ErrorObject): SchemaIssue {
  return { path: placeOf('data', error), message: messageOf(error) }
}

function placeOf(root: string, error: ErrorObject | undefined): string {
  const steps = (error?.instancePath ?? '').split('/').slice(1)
  return pathText(
    root,
    steps.map((step) => (/^\d+$/.test(step) ? Number(step) : step.replaceAll('~1', '/').replaceAll('~0', '~'))),
  )
}

/** With the name that Ajv's own message leaves to its facts. */
function messageOf(error: ErrorObject | undefined): string {
  const { message = 'is refused', params = {} } = error ?? {}
  const told: unknown =
    params['additionalProperty'] ?? params['unevaluatedProperty'] ?? params['allowedValues'] ?? params['allowedValue']
  return told === undefined ? message : `${message}: ${JSON.stringify(told)}`
}
