import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { compileSteps, type UpcastStep } from './upcast-step.ts'

function upcast(data: unknown, ...steps: readonly UpcastStep[]): unknown {
  const before = JSON.stringify(data)
  const after = compileSteps(steps, 'upcast')(data)
  // Shared data stays as it was.
  expect(JSON.stringify(data)).toBe(before)
  return after
}

describe('a step', () => {
  test.each<[string, unknown, UpcastStep, unknown]>([
    ['renames', { a: 1, b: 2 }, { move: '/a', to: '/c' }, { b: 2, c: 1 }],
    ['moves deeper, and makes the way', { a: 1 }, { move: '/a', to: '/x/y' }, { x: { y: 1 } }],
    ['moves up', { x: { a: 1, b: 2 } }, { move: '/x/a', to: '/a' }, { x: { b: 2 }, a: 1 }],
    ['moves what is there into itself', { a: { b: 1 } }, { move: '/a', to: '/a/c' }, { a: { c: { b: 1 } } }],
    ['moves over what is there', { a: 1, b: 2 }, { move: '/a', to: '/b' }, { b: 1 }],
    ['moves null', { a: null }, { move: '/a', to: '/b' }, { b: null }],
    ['makes all of the data a field', 'x', { move: '', to: '/text' }, { text: 'x' }],
    ['makes a field all of the data', { x: { a: 1 }, y: 2 }, { move: '/x', to: '' }, { a: 1 }],
    ['leaves what it does not find', { a: 1 }, { move: '/b', to: '/c' }, { a: 1 }],
    ['leaves what is in its way', { a: 1, x: 3 }, { move: '/a', to: '/x/y' }, { a: 1, x: 3 }],
    ['leaves no data as it is', null, { move: '', to: '/text' }, null],
    [
      'moves within each item of a list',
      { lines: [{ p: 1 }, { q: 1 }, 3] },
      { move: '/lines/*/p', to: '/lines/*/price' },
      { lines: [{ price: 1 }, { q: 1 }, 3] },
    ],
    ['gives a default', { a: 1 }, { default: '/b', value: [2] }, { a: 1, b: [2] }],
    ['gives no default for null', { a: null }, { default: '/a', value: 1 }, { a: null }],
    ['gives no default within null', { a: null }, { default: '/a/b', value: 1 }, { a: null }],
    ['gives a default where there is no data', null, { default: '/x/y', value: 1 }, { x: { y: 1 } }],
    ['gives all of the data a default', null, { default: '', value: {} }, {}],
    ['gives no default within a text', 'x', { default: '/a', value: 1 }, 'x'],
    ['gives each item a default', [{}, { a: 1 }], { default: '/*/a', value: 2 }, [{ a: 2 }, { a: 1 }]],
    ['removes', { a: { b: 1, c: 2 } }, { remove: '/a/b' }, { a: { c: 2 } }],
    ['removes all of the data', { a: 1 }, { remove: '' }, null],
    ['removes in lists of lists', [[{ p: 1 }], [{ p: 2 }]], { remove: '/*/*/p' }, [[{}], [{}]]],
    ['knows names with / and ~', { 'a/b': 1, 'c~d': 2 }, { move: '/a~1b', to: '/c~0d' }, { 'c~d': 1 }],
    ['knows a name of nothing', { '': 1 }, { move: '/', to: '/a' }, { a: 1 }],
  ])('%s', (_, data, step, expected) => {
    expect(upcast(data, step)).toEqual(expected)
  })

  test('takes the names of every object’s own machinery for names', () => {
    const made = upcast({ a: 1 }, { default: '/__proto__/polluted', value: 1 }, { move: '/a', to: '/constructor' })
    expect(JSON.stringify(made)).toBe('{"__proto__":{"polluted":1},"constructor":1}')
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
  })
})

test('steps run one after the other', () => {
  expect(upcast({ a: 1 }, { move: '/a', to: '/b' }, { default: '/a', value: 2 }, { remove: '/b' })).toEqual({ a: 2 })
})

test('whatever the data, steps give data that can be recorded, and give it again', () => {
  const place = fc
    .array(fc.constantFrom('a', 'b', '*', '__proto__'), { maxLength: 3 })
    .map((names) => names.map((name) => `/${name}`).join(''))
  const step = fc.oneof(
    fc.record({ move: place, to: place }),
    fc.record({ default: place, value: fc.jsonValue() }),
    fc.record({ remove: place }),
  )
  const { data } = fc.letrec((tie) => ({
    data: fc.oneof(
      { maxDepth: 3 },
      fc.constantFrom(null, 1, 'x'),
      fc.array(tie('data'), { maxLength: 2 }),
      fc.dictionary(fc.constantFrom('a', 'b'), tie('data'), { maxKeys: 2 }),
    ),
  }))
  fc.assert(
    fc.property(fc.array(step, { maxLength: 4 }), data, (steps, data) => {
      const compiled = (() => {
        try {
          return compileSteps(steps, 'upcast')
        } catch {
          return undefined
        }
      })()
      if (compiled === undefined) return
      const text = JSON.stringify(data)
      const made = JSON.stringify(compiled(data))
      expect(JSON.parse(made)).not.toBeUndefined()
      expect(JSON.stringify(compiled(data))).toBe(made)
      expect(JSON.stringify(data)).toBe(text)
    }),
    { numRuns: 2_000 },
  )
})

test('what is no step is told with its place', () => {
  const table: readonly (readonly [string, unknown])[] = [
    ['upcast', 'move'],
    ['upcast[0]', ['move']],
    ['upcast[0]', [{ move: '/a' }]],
    ['upcast[0]', [{ remove: '/a', value: 1 }]],
    ['upcast[0].move', [{ move: 'a', to: '/b' }]],
    ['upcast[0].to', [{ move: '/a', to: 7 }]],
    ['upcast[0].to', [{ move: '/a/*/b', to: '/c/*/b' }]],
    ['upcast[0].default', [{ default: '/a~2', value: 1 }]],
    ['upcast[0].value', [{ default: '/a', value: undefined }]],
    ['upcast[1].remove', [{ remove: '/a' }, { remove: null }]],
  ]
  for (const [path, steps] of table) {
    expect(() => compileSteps(steps as UpcastStep[], 'upcast'), JSON.stringify(steps)).toThrow(
      expect.objectContaining({ code: 'invalid-argument', path }),
    )
  }
  const many = Array.from({ length: 101 }, () => ({ remove: '/a' }))
  expect(() => compileSteps(many, 'upcast')).toThrow(expect.objectContaining({ limit: 'upcastSteps' }))
})
