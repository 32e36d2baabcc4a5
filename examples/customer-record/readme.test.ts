/** The server that the README's command starts; and the README's session, typed into a shell. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { open } from 'daybook/open'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { blocksOf, type Example, expectSession, lacking, startExample } from '../web/readme.ts'
import { type CustomerEvent, customerStream } from './domain.ts'

const readme = new URL('README.md', import.meta.url)
const older: CustomerEvent = {
  type: 'OrganisationCustomerCreatedEvent',
  data: { organisationName: 'Old & Sons', customerId: 'older', version: 1 },
}

const folder = mkdtempSync(join(tmpdir(), 'daybook-customer-record-'))
let example: Example

beforeAll(async () => {
  const DAYBOOK_STORE = `sqlite:${join(folder, 'record.db')}`
  const store = await open(DAYBOOK_STORE)
  await store.append<CustomerEvent>(customerStream('older'), [older])
  await store.close()
  example = await startExample('example:customer-record', { DAYBOOK_STORE })
})
afterAll(async () => {
  await example.stop()
  rmSync(folder, { recursive: true, force: true })
})

test('customers that were recorded before there were views are built', async () => {
  const query = () => fetch(`http://127.0.0.1:${example.port}/customer/v1/query/older`)
  await vi.waitFor(async () => expect((await query()).status).toBe(200), 10_000)
  expect(await (await query()).json()).toEqual(older.data)
})

test('its set-up is a script of the package', () => {
  expect(blocksOf(readme, 'sh setup').map((code) => code.trim())).toEqual(['npm ci && npm run example:customer-record'])
})

test.skipIf(lacking.length > 0)(
  `its session is answered as it shows${lacking.length > 0 ? ` (there is no ${lacking.join(' and no ')} here)` : ''}`,
  () => expectSession(readme, example.port),
)
