/** The server that the README's command starts, its session typed into a shell, and what is done by hand beside it. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { blocksOf, type Example, expectSession, lacking, runByHand, startExample } from '../web/readme.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const readme = new URL('README.md', import.meta.url)
const folder = mkdtempSync(join(tmpdir(), 'daybook-login-order-join-'))
const env = {
  ...{ DAYBOOK_STORE: `sqlite:${join(folder, 'join.db')}`, LATENESS_MS: '300' },
  // However slow the machine is, the session asks for its snapshot by itself.
  ...{ SNAPSHOT_EVERY: '1000', SNAPSHOT_SLOWER_MS: '60000' },
}
let example: Example

beforeAll(async () => {
  example = await startExample('example:login-order-join', env)
})
afterAll(async () => {
  await example.stop()
  rmSync(folder, { recursive: true, force: true })
})

const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const run = (name: string, more: Readonly<Record<string, string>> = {}) => {
  const PATH = `${join(root, 'node_modules/.bin')}:${process.env['PATH']}`
  const options = { cwd: root, env: { ...process.env, PATH, ...env, ...more }, stdio: 'pipe' } as const
  return JSON.parse(execFileSync('sh', ['-c', scripts[`example:login-order-join:${name}`]], options).toString())
}

test('its set-ups are scripts of the package, and all of them', () => {
  const named = blocksOf(readme, 'sh setup').flatMap((code) =>
    [...code.matchAll(/npm run (\S+)/g)].map(([, name]) => name),
  )
  const all = Object.keys(scripts).filter((name) => name.startsWith('example:login-order-join'))
  expect(named).toEqual(all)
})

test('what is done by hand is seen by the server', async () => {
  expect(run('seed')).toEqual({ recorded: 4, repeated: 0, dropped: 0 })
  expect(run('login')).toEqual({ recorded: 1, repeated: 0, dropped: 0 })
  await new Promise((resolve) => setTimeout(resolve, 310))
  expect(run('snapshot')).toEqual({ snapshotSequence: 4 })
  expect(run('trim')).toEqual({ trimmed: 3 })
  expect(readdirSync(join(folder, 'join.db.archive', 'segments', 'user')).length).toBe(2)
  run('order')
  const user = () => fetch(`http://127.0.0.1:${example.port}/users/3fa5b0c2-7d24-4c6f-9e0e-51d4f6a0a001`)
  const expected = { name: 'Ann', recentOrderCount: 2, snapshotSequence: 4 }
  await vi.waitFor(async () => expect(await (await user()).json()).toMatchObject(expected), 10_000)
  expect(() => run('login', { DAYBOOK_STORE: 'memory:' })).toThrow('memory: is seen by one process alone')
})

test('so is what the command line does with its definitions', async () => {
  const bob = () => fetch(`http://127.0.0.1:${example.port}/users/3fa5b0c2-7d24-4c6f-9e0e-51d4f6a0b002`)
  await vi.waitFor(async () => expect((await bob()).status).toBe(200), 10_000)
  runByHand(readme, env)
  await vi.waitFor(async () => expect((await bob()).status).toBe(404), 10_000)
})

test.skipIf(lacking.length > 0)(
  `its session is answered as it shows${lacking.length > 0 ? ` (there is no ${lacking.join(' and no ')} here)` : ''}`,
  () => expectSession(readme, example.port),
)
