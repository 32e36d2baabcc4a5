import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { makeEvent } from './append.ts'
import { cipherOf, createCiphers } from './cipher.ts'
import { decryptContent, encryptEvent, encryptedIn, isEncrypted } from './encrypted.ts'
import { derivedId, secureRandom } from './id.ts'
import { commitmentOf } from './leaf.ts'
import { personalIn, personalRule } from './subject.ts'

const random = secureRandom()
const keys = [0, 1].map((at) => ({ id: derivedId(['key', at]), bytes: random(32) }))

function ciphers(make: typeof cipherOf, without?: number) {
  const known = new Map(keys.map(({ id, bytes }, at) => [id, at === without ? undefined : make(bytes)]))
  return (id: string) => known.get(id)
}

describe('encrypted content', () => {
  const web = createCiphers({})

  test('comes back to the byte, with its salt, whatever the data is; by either cipher', async () => {
    const data = fc.record({
      a: fc.jsonValue(),
      b: fc.jsonValue(),
      list: fc.array(fc.record({ c: fc.jsonValue() })),
      'odd/~"\\': fc.string(),
    })
    await fc.assert(
      fc.asyncProperty(data, async (data) => {
        const meta = { note: ',[["' }
        const event = makeEvent({ newId: () => 'id', random }, { type: 'T', data, meta, tags: [']]', '"['] }, 'event')
        const rules = [
          personalRule({ subject: 'a/1', fields: ['/a', '/list/*/c', '/odd~1~0"\\'] }, 'rule'),
          personalRule({ subject: 'b/2', fields: ['/b'], mask: { x: ']]' } }, 'rule'),
        ]
        const secrets = personalIn(rules, 's/1', event)
          .map(({ subject, places }) => ({ key: keys[subject === 'a/1' ? 0 : 1]?.id ?? '', places }))
          .filter(({ places }) => places.length > 0)
        if (secrets.length === 0) return
        expect(isEncrypted(event.content)).toBe(false)
        const stored = await encryptEvent(event, 's/1', {
          secrets,
          cipherOf: ciphers(cipherOf) as typeof cipherOf & never,
          random,
        })
        expect(isEncrypted(stored.content)).toBe(true)
        expect(stored.salt).toEqual(event.commitment)
        expect(stored.commitment).toEqual(commitmentOf(stored.salt, stored.content))
        const parts = encryptedIn(stored.content)
        for (const make of [cipherOf, web]) {
          const { content, salt } = await decryptContent(parts, 's/1', ciphers(make))
          expect(content).toBe(event.content)
          expect(commitmentOf(salt ?? new Uint8Array(), content)).toEqual(event.commitment)
        }
        await expect(decryptContent(parts, 's/2', ciphers(cipherOf))).rejects.toThrow()
        const moved = { ...parts, head: parts.head.replace('"T"', '"U"') }
        await expect(decryptContent(moved, 's/1', ciphers(web))).rejects.toThrow()
        const some = await decryptContent(parts, 's/1', ciphers(cipherOf, 1))
        expect(JSON.parse(some.content)[3]).toMatchObject(JSON.parse(JSON.stringify({ a: data.a })))
        expect(some.salt === undefined).toBe(secrets.length === 2 || secrets[0]?.key === keys[1]?.id)
      }),
      { numRuns: 300 },
    )
  })
})
