import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { call, newStore, place } from './fixtures/command.ts'
import { runCommand } from './program.ts'

/** It has no store. */
const newKey = async (file: string) => {
  process.exitCode = undefined
  await runCommand(['encryption', 'new-key', file, '--json'])
  const code = process.exitCode
  process.exitCode = undefined
  return code ?? 0
}

const app = place('app.mjs')
writeFileSync(
  app,
  "export default { subjects: { streams: { customer: {} }, events: { Placed: { subject: 'customer/{/of}', fields: ['/name'] } } } }",
)

describe('the master key', () => {
  test('is made in a file, encrypts, is rotated, and without it nothing encrypted is read', async () => {
    const [store, first, both, second] = [newStore(), place(), place(), place()]
    expect(await newKey(first)).toBe(0)
    expect(statSync(first).mode & 0o777).toBe(0o600)
    expect(await newKey(first)).toBe(2)
    const using = (file: string, ...args: string[]) => call(store, ...args, '--master-key-file', file)
    await using(first, 'append', 'customer/42', 'Moved', '{"to":"Bonn"}', '--app', app)
    // The store knows by now whom it is about.
    await using(first, 'append', 'order/1', 'Placed', '{"of":42,"name":"Ann"}')
    expect(readFileSync(store.slice('sqlite:'.length)).includes('Bonn')).toBe(false)
    expect((await using(first, 'read', 'customer/42')).output).toContain('Bonn')
    expect(await call(store, 'read', 'customer/42')).toMatchObject({
      code: 7,
      errors: expect.stringContaining('DAYBOOK_MASTER_KEY'),
    })

    await newKey(second)
    expect(await using(second, 'read', 'customer/42')).toMatchObject({
      code: 7,
      errors: expect.stringContaining('or with both'),
    })
    writeFileSync(both, readFileSync(second, 'utf8') + readFileSync(first, 'utf8'))
    expect((await using(both, 'encryption', 'rotate')).output).toMatch(/^1 key wrapped by master key /)
    expect((await using(second, 'encryption', 'status', '--json')).json()).toMatchObject([
      { plain: 0, forgotten: 0, keys: [{ subjects: 1 }] },
    ])
    expect((await using(second, 'read', 'order/1')).output).toContain('Ann')
  })

  test('subjects are found in what was recorded before it was declared whom it concerns', async () => {
    const store = newStore()
    await call(store, 'append', 'customer/42', 'Moved', '{"to":"Bonn"}')
    await call(store, 'append', 'order/1', 'Placed', '{"of":42,"name":"Ann"}')
    const [found] = (await call(store, 'encryption', 'find-subjects', '--app', app, '--json')).json() as object[]
    expect(found).toEqual({ position: 2, own: 0, encrypted: 0, plain: 1, forgotten: [], unclear: 0 })
    expect((await call(store, 'encryption', 'find-subjects')).output).toContain('up to position 2; found 0 streams')
    const forget = await call(store, 'forget', '--subject', 'customer/42', '--reason', 'gdpr-art-17', '--yes')
    expect(forget).toMatchObject({ errors: expect.stringContaining('order/1') })
  })

  test('forgetting a subject says what became of it', async () => {
    const [store, key] = [newStore(), place()]
    await newKey(key)
    const using = (...args: string[]) => call(store, ...args, '--master-key-file', key)
    await using('append', 'customer/42', 'Moved', '{"to":"Bonn"}', '--app', app)
    await using('append', 'order/1', 'Placed', '{"of":42,"name":"Ann"}')
    const forget = ['forget', '--subject', 'customer/42', '--reason', 'gdpr-art-17']
    expect((await using(...forget)).code).toBe(2)
    expect((await using(...forget, 'order/1', '--yes')).errors).toContain('name a stream, or a subject')
    expect((await using(...forget, '--yes')).output).toBe(
      'customer/42 is forgotten: 1 event and 0 documents erased in 1 stream; its key destroyed, masked in 1 other stream\n',
    )
    expect((await using(...forget, '--yes', '--json')).json()).toMatchObject([{ subject: 'customer/42', masked: 1 }])
    expect((await using('read', 'order/1')).output).toContain('"name":null')
    expect((await using('encryption', 'status')).output).toContain('1 forgotten subject')
    expect((await using('verify')).output).toMatch(/^not decrypted +1 event, as stored/m)
  })
})
