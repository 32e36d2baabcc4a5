import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { misfits } from './compatible.ts'
import { createSchemaCompiler, type JsonSchema } from './json-schema.ts'

const text = { type: 'string' }
const person = { type: 'object', properties: { name: text, age: { type: 'integer' } }, required: ['name'] }
const closed = { ...person, additionalProperties: false }
const tree = { $ref: '#/$defs/node', $defs: { node: { properties: { left: { $ref: '#/$defs/node' }, value: text } } } }

describe('what the next schema takes as well', () => {
  test.each<[string, JsonSchema, JsonSchema]>([
    ['the same', person, person],
    ['anything', person, {}],
    [
      'an optional property of a closed object',
      closed,
      { ...closed, properties: { ...closed.properties, nick: text } },
    ],
    ['a property that need not be there any more', person, { ...person, required: [] }],
    ['an object that is opened', closed, person],
    ['a wider type', { type: 'integer' }, { type: ['number', 'null'] }],
    ['one more value', { enum: ['a', 'b'] }, { enum: ['c', 'b', 'a'] }],
    ['values by their type', { const: 1 }, { type: 'integer' }],
    ['wider bounds', { minimum: 1, exclusiveMaximum: 5 }, { exclusiveMinimum: 0, maximum: 5 }],
    ['wider lengths', { minLength: 3, maxItems: 3 }, { minLength: 2, maxItems: 4 }],
    [
      'bounds of what it never is',
      text,
      { ...text, minimum: 7, required: ['a'], minItems: 1, properties: { a: false } },
    ],
    ['items', { type: 'array', items: { type: 'integer' } }, { items: { type: 'number' } }],
    ['one more branch', { anyOf: [text, { type: 'null' }] }, { anyOf: [{ type: 'null' }, { type: 'integer' }, text] }],
    ['all parts', { allOf: [person, { required: ['age'] }] }, { required: ['age', 'name'] }],
    [
      'the same through references',
      { $ref: '#/$defs/t', $defs: { t: text } },
      { $defs: { u: text }, $ref: '#/$defs/u' },
    ],
    ['a tree of the same kind', tree, { ...tree, title: 'Tree' }],
    ['a tree that is as wide', tree, { properties: { left: { $ref: '#' }, value: { type: ['null', 'string'] } } }],
    ['the same patterns', { pattern: '^a' }, { pattern: '^a', description: 'New' }],
    ['what was never taken', false, text],
  ])('%s', (_, before, after) => {
    expect(misfits(before, after)).toEqual([])
  })
})

describe('what the next schema may refuse', () => {
  test.each<[string, JsonSchema, JsonSchema]>([
    ['data.age is required now', person, { ...person, required: ['name', 'age'] }],
    ['data["nick name"] must now be of type "string"', person, { properties: { 'nick name': text } }],
    ['data.age is not taken any more', closed, { properties: { name: text }, additionalProperties: false }],
    ['data["*"] is not taken any more', person, closed],
    ['data must now be of type "integer"', { type: 'number' }, { type: 'integer' }],
    ['data must now be of enum ["a"]', { enum: ['a', 'b'] }, { enum: ['a'] }],
    ['data must now be of const 1', { type: 'integer' }, { const: 1 }],
    ['data must now be of minimum 2', { minimum: 1 }, { minimum: 2 }],
    ['data must now be of exclusiveMaximum 5', { maximum: 5 }, { exclusiveMaximum: 5 }],
    ['data["*"] must now be of type "string"', { items: {} }, { items: text }],
    ['data has another "pattern" now', { pattern: '^a' }, { pattern: '^b' }],
    ['data has another "anyOf" now', { type: ['string', 'null'] }, { anyOf: [text, { type: 'null' }] }],
    ['data has another "oneOf" now', text, { oneOf: [text, {}] }],
    ['data has another "unevaluatedProperties" now', person, { ...person, unevaluatedProperties: false }],
    ['data.left.value must now be of type "integer"', ...trees()],
    ['data is not taken any more', {}, false],
  ])('%s', (reason, before, after) => {
    expect(misfits(before, after)).toEqual([reason])
  })

  function trees(): [JsonSchema, JsonSchema] {
    const leaf = { properties: { left: { properties: { value: { type: 'integer' } } } } }
    return [tree, leaf]
  }
})

test('what cannot be compared in reasonable time is not called compatible', () => {
  const circle = { $ref: '#/$defs/a', $defs: { a: { anyOf: [{ $ref: '#/$defs/a', oneOf: [true] }] } } }
  expect(misfits(circle, { $ref: '#/$defs/a' })).not.toEqual([])
  const nested = (depth: number): JsonSchema =>
    depth === 0 ? true : { anyOf: [nested(depth - 1), nested(depth - 1)], minLength: depth }
  expect(misfits(nested(12), { maxLength: 1 })).not.toEqual([])
})

test('nothing is called compatible that is refused', { timeout: 120_000 }, async () => {
  const compile = createSchemaCompiler()
  const name = fc.constantFrom('a', 'b', '*')
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 2 },
      fc.constantFrom(null, true, 0, 1, 1.5, 3, '', 'a', 'abc', 'b'),
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(name, tie('value'), { maxKeys: 3, noNullPrototype: true }),
    ),
  }))
  const type = fc.constantFrom('null', 'boolean', 'integer', 'number', 'string', 'array', 'object')
  const small = fc.integer({ min: 0, max: 3 })
  const { schema } = fc.letrec<{ schema: JsonSchema }>((tie) => {
    const some = fc.array(tie('schema'), { minLength: 1, maxLength: 2 })
    const part = fc.oneof(
      fc.record({ type: fc.oneof(type, fc.uniqueArray(type, { minLength: 1, maxLength: 3 })) }),
      fc.record({ required: fc.uniqueArray(name, { maxLength: 2 }) }),
      fc.record({ properties: fc.dictionary(name, tie('schema'), { maxKeys: 2 }) }),
      fc.record({ patternProperties: fc.dictionary(fc.constantFrom('^a', '.'), tie('schema'), { maxKeys: 1 }) }),
      fc.record({ additionalProperties: tie('schema') }),
      fc.record({ unevaluatedProperties: tie('schema') }),
      fc.record({ items: tie('schema') }),
      fc.record({ prefixItems: some, items: tie('schema') }, { requiredKeys: ['prefixItems'] }),
      fc.record({
        enum: fc.uniqueArray(value, { minLength: 1, maxLength: 3, selector: (item) => JSON.stringify(item) }),
      }),
      fc.record({ const: value }),
      ...['minimum', 'exclusiveMinimum', 'maximum', 'exclusiveMaximum', 'minLength', 'maxLength'].map((keyword) =>
        small.map((bound) => ({ [keyword]: bound })),
      ),
      ...['minItems', 'maxItems', 'minProperties', 'maxProperties'].map((keyword) =>
        small.map((bound) => ({ [keyword]: bound })),
      ),
      ...['allOf', 'anyOf', 'oneOf'].map((keyword) => some.map((schemas) => ({ [keyword]: schemas }))),
      fc.record({ not: tie('schema') }),
      fc.record({ contains: tie('schema') }),
      fc.record({ propertyNames: fc.record({ maxLength: small }) }),
      fc
        .tuple(tie('schema'), tie('schema'))
        .map((both) => Object.fromEntries(['if', 'then'].map((word, at) => [word, both[at]]))),
      fc.record({ $ref: fc.constantFrom('#/$defs/one', '#/$defs/two') }),
      fc.record({ uniqueItems: fc.boolean() }),
    )
    return {
      schema: fc.oneof(
        { maxDepth: 2, withCrossShrink: true },
        fc.boolean(),
        fc.array(part, { minLength: 1, maxLength: 3 }).map((parts): JsonSchema => Object.assign({}, ...parts)),
      ),
    }
  })
  const document = fc
    .tuple(schema, schema, schema)
    .map(([root, one, two]) => (typeof root === 'boolean' ? root : { ...root, $defs: { one, two } }))
  /** Near each other, so that something is proven. */
  const pair = fc.oneof(
    fc.tuple(document, document),
    fc
      .tuple(document, document)
      .map(([left, right]): [JsonSchema, JsonSchema] => [left, Object.assign({}, left, right === true ? {} : right)]),
    fc.tuple(document, document, fc.nat()).map(([left, right, at]): [JsonSchema, JsonSchema] => {
      const kept = Object.entries(left).filter((_, index) => (at >> index) % 2 === 0)
      return [Object.assign({}, right, left), Object.fromEntries(kept)]
    }),
  )
  let proven = 0
  await fc.assert(
    fc.asyncProperty(pair, fc.array(value, { minLength: 30, maxLength: 30 }), async ([before, after], values) => {
      if (misfits(before, after).length > 0) return
      const compiled = await Promise.all([compile(before), compile(after)]).catch(() => undefined)
      if (compiled === undefined) return
      const [old, next] = compiled
      const tracked = JSON.stringify(after).includes('unevaluated')
      for (const each of values) {
        if (old(each).length > 0) continue
        proven++
        // Ajv fails at some data where it notes which properties were looked at.
        if (tracked && next(each)[0]?.message.startsWith('cannot be checked: Cannot set properties')) continue
        expect(next(each), JSON.stringify(each)).toEqual([])
      }
    }),
    { numRuns: 2_000 },
  )
  expect(proven).toBeGreaterThan(1_000)
})
