/** The demo comes up, answers on every part, and goes down; its sample data is there once. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { checkProof, type EventProof, openStore } from 'daybook'
import { memoryStorage } from 'daybook/memory'
import { expect, test, vi } from 'vitest'
import { definitions } from '../classified-ads/definitions.ts'
import { projections } from '../customer-record/views.ts'
import { fill } from './fill.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))

test('it says where its parts are, they answer, and a signal ends it', async ({ onTestFinished }) => {
  const folder = mkdtempSync(join(tmpdir(), 'daybook-demo-test-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const { DAYBOOK_STORE: _, ...env } = { ...process.env, PORT: '0' } as Readonly<Record<string, string>>
  const PATH = `${join(root, 'node_modules/.bin')}:${env['PATH']}`
  const demo = spawn('sh', ['-c', `exec ${scripts.demo} ${folder}`], {
    cwd: root,
    env: { ...env, PATH },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let said = ''
  for await (const part of demo.stdout.iterator({ destroyOnReturn: false })) {
    said += part
    if (said.includes('verifier key')) break
  }
  const pages = [...said.matchAll(/ {2}(\S.*?) {2,}(http\S+)/g)].map(([, name, page]) => ({ name, page }))
  expect(pages.map(({ name }) => name)).toEqual([
    'the store',
    'customer record',
    'classified ads',
    'login and order join',
  ])
  for (const { page } of pages) {
    expect((await fetch(`${page}`)).status).toBe(200)
    const document = await (await fetch(`${page}openapi-spec.json`)).json()
    expect(document).toMatchObject({ openapi: '3.1.0' })
  }
  const sights = [...said.matchAll(/^ {2}(http\S+)$/gm)].map(([, sight = '']) => sight)
  const see = async (index: number) => (await fetch(sights[index] ?? '')).json()
  expect(await see(0)).toMatchObject({ events: expect.arrayContaining([expect.anything()]) })
  const versions = (await see(2)) as readonly object[]
  const { proofs } = (await see(3)) as { readonly proofs: readonly EventProof[] }
  await vi.waitFor(async () => expect(await see(4)).toMatchObject({ recentOrderCount: expect.any(Number) }), 10_000)
  expect([sights.length, versions.length > 0]).toEqual([5, true])
  const [, verifierKey = ''] = /verifier key of this demo, (\S+)/.exec(said) ?? []
  expect(proofs.map((proof) => checkProof(proof, [verifierKey]).event?.data)).toMatchObject(
    versions.map(() => ({ publisherId: 'the-lamp-shop' })),
  )
  demo.kill('SIGINT')
  const [[code]] = await Promise.all([once(demo, 'exit'), text(demo.stdout)])
  expect([code, existsSync(join(folder, 'demo.db'))]).toEqual([0, true])
})

test('its sample data is there once, however often it is started', async () => {
  await using store = await openStore(memoryStorage(), { projections: [...projections, ...definitions.projections] })
  const { signal } = new AbortController()
  const first = await fill(store, signal)
  const { head } = await store.info()
  expect(head).toBeGreaterThan(4_000)
  expect(await fill(store, signal)).toBe(first)
  expect((await store.info()).head).toBe(head)
})
