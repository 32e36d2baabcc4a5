/** The server that the README's command starts; and the README's session, typed into a shell. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { open } from 'daybook/open'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { type CustomerEvent, customerStream } from './domain.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const readme = readFileSync(new URL('README.md', import.meta.url), 'utf8')
const blocks = [...readme.matchAll(/^```(.*)\n([\s\S]*?)^```$/gm)].map(([, language = '', code = '']) => ({
  language,
  code,
}))

const older: CustomerEvent = {
  type: 'OrganisationCustomerCreatedEvent',
  data: { organisationName: 'Old & Sons', customerId: 'older', version: 1 },
}

const folder = mkdtempSync(join(tmpdir(), 'daybook-customer-record-'))
let server: ChildProcess
let port: string

beforeAll(async () => {
  const url = `sqlite:${join(folder, 'record.db')}`
  const store = await open(url)
  await store.append<CustomerEvent>(customerStream('older'), [older])
  await store.close()
  const PATH = `${join(root, 'node_modules/.bin')}:${process.env['PATH']}`
  const env = { ...process.env, PATH, PORT: '0', DAYBOOK_STORE: url }
  const command = `exec ${scripts['example:customer-record']}`
  server = spawn('sh', ['-c', command], { cwd: root, env, stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = await once(server.stdout ?? server, 'data')
  port = new URL(JSON.parse(String(line)).page).port
})
afterAll(async () => {
  server.kill('SIGTERM')
  const [code] = await once(server, 'exit')
  rmSync(folder, { recursive: true, force: true })
  expect(code).toBe(0)
})

test('customers that were recorded before there were views are built', async () => {
  const query = () => fetch(`http://127.0.0.1:${port}/customer/v1/query/older`)
  await vi.waitFor(async () => expect((await query()).status).toBe(200), 10_000)
  expect(await (await query()).json()).toEqual(older.data)
})

test('its set-up is a script of the package', () => {
  const setups = blocks.filter(({ language }) => language === 'sh setup').map(({ code }) => code.trim())
  expect(setups).toEqual(['npm ci && npm run example:customer-record'])
})

const missing = ['sh', 'curl'].filter((program) => spawnSync(program, ['--help']).error !== undefined)

test.skipIf(missing.length > 0 && !process.env['CI'])(
  `its session is answered as it shows${missing.length > 0 ? ` (there is no ${missing.join(' and no ')} here)` : ''}`,
  async () => {
    const typed = blocks.filter(({ language }) => language === 'sh').map(({ code }) => code.replaceAll('8080', port))
    const shown = blocks.filter(({ language }) => language === 'json').map(({ code }) => code)
    const session = typed.map((code) => `${code}\necho =====`).join('\n')
    const shell = spawn('sh', ['-e', '-c', session], { stdio: ['ignore', 'pipe', 'inherit'] })
    const answered = (await text(shell.stdout)).split('=====\n').slice(0, -1)
    expect(answered.length).toBe(shown.length)
    for (const [index, answers] of answered.entries()) expect(answers).toMatch(pattern(shown[index] ?? ''))
  },
)

/** What is shown, as it must come; `…` stands for what differs each time. */
function pattern(shown: string): RegExp {
  const parts = shown.split('…')
  return new RegExp(`^${parts.map((part) => RegExp.escape(part)).join('[^"]*')}$`)
}
