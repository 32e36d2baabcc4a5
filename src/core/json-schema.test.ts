import { expect, test } from 'vitest'
import { createSchemaCompiler } from './json-schema.ts'

const compile = createSchemaCompiler()

test('alternatives beside patterns are checked for data that only one of them takes', async () => {
  const anyOf = [{ additionalProperties: false, maxProperties: 0 }, true]
  const check = await compile({ patternProperties: { '^a': { type: 'string' } }, anyOf })
  expect(check({ a: 'text' })).toEqual([])
  expect(check({ a: 1 })).toEqual([{ path: 'data.a', message: 'must be string' }])
})

test('what no keyword has looked at is refused where the schema says so', async () => {
  const schema = { allOf: [{ properties: { a: true } }], unevaluatedProperties: false }
  const check = await compile(schema)
  expect(check({ a: 1 })).toEqual([])
  expect(check({ a: 1, b: 2 })).toEqual([{ path: 'data', message: 'must NOT have unevaluated properties: "b"' }])
  const items = await compile({ prefixItems: [true], unevaluatedItems: false })
  expect([items([1]).length, items([1, 2]).length]).toEqual([0, 1])
})
