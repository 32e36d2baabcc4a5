import { sha256 as plain } from '@noble/hashes/sha2.js'
import { utf8ToBytes } from '@noble/hashes/utils.js'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createSha256, sha256 } from './sha256.ts'

test("the runtime's own hash and the library's are one, whatever the length", () => {
  for (let length = 0; length <= 200; length++) {
    const bytes = Uint8Array.from({ length }, (_, at) => (at * 167) & 255)
    expect(sha256(bytes)).toEqual(plain(bytes))
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 5_000 }), (bytes) => {
      expect(sha256(bytes)).toEqual(plain(bytes))
    }),
  )
})

test('a runtime without one has the library', () => {
  for (const runtime of [{}, { process: {} }, { process: { getBuiltinModule: () => undefined } }]) {
    const message = utf8ToBytes('x'.repeat(100))
    const target = new Uint8Array(40)
    createSha256(runtime)(message, target, 5)
    expect(target).toEqual(Uint8Array.of(0, 0, 0, 0, 0, ...plain(message), 0, 0, 0))
  }
})
