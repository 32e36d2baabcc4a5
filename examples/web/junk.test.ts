/** Junk, to every route of every application: what is wrong is told, and nothing ever goes wrong in the server. */
import { newLedgerKeys, openStore, signerOf } from 'daybook'
import { memoryStorage } from 'daybook/memory'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { applicationOf } from '../classified-ads/app.ts'
import { adViews } from '../classified-ads/views.ts'
import { application as customerRecord } from '../customer-record/app.ts'
import { projections as customerProjections } from '../customer-record/views.ts'
import { loginOrderJoin } from '../login-order-join/app.ts'
import { webApp } from './app.ts'

const { signerKey, verifierKey } = newLedgerKeys('junk.example/log')
const join = loginOrderJoin({ latenessMs: 1_000, snapshotEvery: 100, snapshotSlowerMs: 50 })
const applications = [customerRecord, applicationOf({ verifierKey }), join.application]

const nasty = [
  '',
  ' ',
  '.',
  '..',
  'a/b',
  '\0',
  '\n',
  '\ud800',
  '💡',
  '__proto__',
  'constructor',
  "'--",
  '%',
  '$x',
  '-1',
  '0',
  '1e999',
]
const text = fc.oneof(fc.constantFrom(...nasty), fc.string({ unit: 'grapheme', maxLength: 300 }))
const instant = fc.constantFrom('2026-01-01T00:00:00Z', '9999-12-31T23:59:59Z', '0000-01-01T00:00:00Z', '2026-13-01')
const id = fc.oneof(fc.constantFrom('ann', 'acme'), text)

/** A body that may be right, with junk somewhere in it. */
function bodyOf(example: unknown): fc.Arbitrary<string | Uint8Array> {
  const bent = fc.tuple(fc.jsonValue(), fc.string()).map(([junk, key]) => {
    if (Array.isArray(example)) return [...example, junk]
    const fields = Object.entries((example ?? {}) as object)
    const [name] = fields[key.length % (fields.length || 1)] ?? [key]
    return { ...(example as object), [name]: junk }
  })
  const json = fc.oneof(fc.constant(example ?? {}), bent, fc.jsonValue()).map((value) => JSON.stringify(value))
  return fc.oneof(
    json,
    json.map((whole) => whole.slice(0, whole.length >> 1)),
    fc.uint8Array({ maxLength: 50 }),
  )
}

describe('junk is refused with a clear error, or done, and never breaks', () => {
  test.each(applications)('$title', async (application) => {
    await using store = await openStore(memoryStorage(), {
      projections: [...customerProjections, adViews, ...join.projections],
      ledger: { signer: signerOf(signerKey) },
    })
    const failures: object[] = []
    const app = webApp(application, { store, log: { error: (facts) => failures.push(facts) } })
    const asked = fc.constantFrom(...application.routes).chain((route) =>
      fc.record({
        method: fc.constant(route.method),
        path: fc
          .array(id, { minLength: 3, maxLength: 3 })
          .map((ids) => route.path.replaceAll(/\{\w+\}/g, () => encoded(ids.pop() ?? ''))),
        query: fc.dictionary(fc.constantFrom('q', ...Object.keys(route.query ?? {})), fc.oneof(text, instant)),
        body: route.body ? bodyOf(route.body.example) : fc.constant(undefined),
        key: fc.option(fc.constantFrom('key', 'x'.repeat(201)), { nil: undefined }),
      }),
    )
    await fc.assert(
      fc.asyncProperty(asked, async ({ method, path, query, body, key }) => {
        const search = Object.entries(query).map(([name, value]) => `${name}=${encoded(value)}`)
        const response = await app.request(`${path}?${search.join('&')}`, {
          method,
          ...(body !== undefined && { body: body as never }),
          headers: key === undefined ? {} : { 'Idempotency-Key': key },
        })
        // A URL knows no segment of dots: it is of another route.
        expect([200, 302, 400, 404, 405]).toContain(response.status)
        if (response.status < 400) return
        expect(await response.json()).toEqual({
          message: expect.stringMatching(/\w/),
          requestId: expect.any(String),
          details: expect.toSatisfy((details) => typeof details === 'object'),
        })
      }),
      { numRuns: 500 },
    )
    expect(failures).toEqual([])
  })
})

function encoded(value: string): string {
  return encodeURIComponent(value.toWellFormed())
}
