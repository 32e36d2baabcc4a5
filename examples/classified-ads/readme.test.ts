/** The server that the README's command starts; and the README's session, typed into a shell. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { newLedgerKeys } from 'daybook'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { blocksOf, type Example, expectSession, lacking, runByHand, startExample } from '../web/readme.ts'

const readme = new URL('README.md', import.meta.url)
const folder = mkdtempSync(join(tmpdir(), 'daybook-classified-ads-'))
const env = {
  DAYBOOK_STORE: `sqlite:${join(folder, 'ads.db')}`,
  DAYBOOK_ARCHIVE: `file:${join(folder, 'archive')}`,
  DAYBOOK_STATES: `file:${join(folder, 'states')}`,
  DAYBOOK_SIGNER_KEY: newLedgerKeys('ads.example/log').signerKey,
}
let example: Example

beforeAll(async () => {
  example = await startExample('example:classified-ads', env)
})
afterAll(async () => {
  await example.stop()
  rmSync(folder, { recursive: true, force: true })
})

test('its set-up is a script of the package', () => {
  expect(blocksOf(readme, 'sh setup').map((code) => code.trim())).toEqual(['npm ci && npm run example:classified-ads'])
})

test.skipIf(lacking.length > 0)(
  `its session is answered as it shows${lacking.length > 0 ? ` (there is no ${lacking.join(' and no ')} here)` : ''}`,
  async () => {
    await expectSession(readme, example.port)
    runByHand(readme, env)
    const versions = await fetch(`http://127.0.0.1:${example.port}/publisher/acme/ad/ei8f3lllc?versions=true`)
    expect(await versions.json()).toEqual([])
  },
)
