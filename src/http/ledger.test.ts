/** The ledger over HTTP beside keeping its promises: C2SP's paths, scopes, and a server that lies. */
import { describe, expect, test } from 'vitest'
import { collect } from '../conformance/store/kit.ts'
import { newLedgerKeys, signerOf } from '../core/note.ts'
import type { EventProof } from '../core/proof.ts'
import { openStore } from '../core/store.ts'
import { leavesOf, parseEntries } from '../core/tile.ts'
import { memoryStorage } from '../storage/memory/storage.ts'
import type { Principal } from './access.ts'
import { createApp } from './app.ts'
import { createClient } from './client.ts'

const { signerKey, verifierKey } = newLedgerKeys('http.example/log')
const seats = Array.from({ length: 150 }, (_, seat) => ({ type: 'Reserved', data: { seat } }))

async function open({ scopes }: { readonly scopes?: readonly string[] } = {}) {
  const store = await openStore(memoryStorage(), { ledger: { signer: signerOf(signerKey) } })
  await store.append('seat/1', seats)
  await store.append('seat/2', seats)
  const jwt = async (): Promise<Principal> => ({ name: 'ann', scopes: scopes ?? [] })
  const { fetch } = createApp({ store, version: '0.0.0', ...(scopes && { access: { jwt } }) })
  const ask = (path: string, body?: unknown) =>
    fetch(
      new Request(`http://localhost${path}`, {
        headers: { authorization: 'Bearer x' },
        ...(body !== undefined && { method: 'POST', body: JSON.stringify(body) }),
      }),
    )
  return { store, fetch, ask }
}

const bytesOf = async (response: Response) => new Uint8Array(await response.arrayBuffer())

test('checkpoint and tiles lie where C2SP tlog-tiles has them', async () => {
  const { store, ask } = await open()
  expect((await ask('/ledger/checkpoint')).status).toBe(409)
  const { checkpoint } = await store.ledger.seal()
  const text = await ask('/ledger/checkpoint')
  expect([text.headers.get('content-type'), await text.text()]).toEqual(['text/plain; charset=utf-8', checkpoint])
  for (const tile of ['000', '001.p/44']) {
    const entries = parseEntries(await bytesOf(await ask(`/ledger/tile/entries/${tile}`)))
    expect(await bytesOf(await ask(`/ledger/tile/0/${tile}`))).toEqual(leavesOf(entries))
  }
  const status = async (tile: string) => (await ask(`/ledger/tile/${tile}`)).status
  expect([await status('0/001'), await status('0/002'), await status('1/000.p/1')]).toEqual([404, 404, 200])
  for (const tile of ['0/1', 'x', '0/..%2f000', '99/000', '%0A', '0%0D%0A/000', '%E2%80%A8'])
    expect([400, 404], tile).toContain(await status(tile))
})

test('a place is given in one way, and what stands in the way is told field by field', async () => {
  const { store, ask } = await open()
  await store.ledger.seal()
  const messages = async (event: object) => {
    const response = await ask('/ledger/prove', { event })
    return ((await response.json()) as { details: { messages: object } }).details.messages
  }
  expect(await messages({})).toHaveProperty(['event.stream'])
  expect(await messages({ stream: 'seat/1' })).toHaveProperty(['event.revision'])
  expect(await messages({ position: 1, revision: 1 })).toHaveProperty(['event.position'])
  expect(await messages({ position: 0 })).toHaveProperty(['event.position'])
  expect((await ask('/ledger/consistency?from=0')).status).toBe(400)
})

test('digest, tiles and consistency are for who operates; a proof holds an event, and wants that one may read it', async () => {
  const missing = async (scopes: readonly string[], path: string, body?: unknown) => {
    const { store, ask } = await open({ scopes })
    await store.ledger.seal()
    const response = await ask(path, body)
    return response.ok ? undefined : ((await response.json()) as { scope: string }).scope
  }
  for (const path of ['', '/checkpoint', '/tile/0/000', '/consistency?from=1']) {
    expect(await missing(['read:*'], `/ledger${path}`)).toBe('operate')
    expect(await missing(['operate'], `/ledger${path}`)).toBeUndefined()
  }
  expect(await missing(['read:seat'], '/ledger/prove', { event: { stream: 'seat/1', revision: 1 } })).toBeUndefined()
  expect(await missing(['read:car'], '/ledger/prove', { event: { stream: 'seat/1', revision: 1 } })).toBe('read:seat')
  expect(await missing(['read:seat'], '/ledger/prove', { event: { position: 1 } })).toBe('read:*')
  expect(await missing(['operate'], '/ledger/history/seat/1')).toBe('read:seat')
  expect(await missing(['read:*', 'operate'], '/ledger/seal', {})).toBe('manage')
  expect(await missing(['read:*', 'operate'], '/ledger/verify', {})).toBe('manage')
})

describe('a client with verifier keys', () => {
  /** Of a server whose answers somebody changes on their way. */
  async function deceived(change: (body: string, path: string) => string) {
    const { store, fetch } = await open()
    await store.ledger.seal()
    const client = createClient({
      ...{ url: 'http://localhost', verifierKeys: [verifierKey], tries: 1 },
      async fetch(address, init) {
        const response = await fetch(new Request(address, init))
        return new Response(change(await response.text(), new URL(String(address)).pathname), response)
      },
    })
    return { store, client }
  }

  test('takes no digest that the log has not signed, and no proof that does not hold or is of another event', async () => {
    let other: EventProof | undefined
    const { store, client } = await deceived((body, path) => {
      if (path === '/ledger') return body.replace('http.example/log\\n300\\n', 'http.example/log\\n301\\n')
      if (path === '/ledger/prove')
        return other ? JSON.stringify(other) : body.replace('\\"seat\\":0}', '\\"seat\\":1}')
      return body.replace('\\"seat\\":120}', '\\"seat\\":121}')
    })
    const invalid = { code: 'proof-invalid' }
    await expect(client.ledger.digest()).rejects.toMatchObject({ ...invalid, part: 'signature' })
    const event = { stream: 'seat/1', revision: 1 }
    await expect(client.ledger.prove(event)).rejects.toMatchObject({ ...invalid, part: 'content' })
    other = await store.ledger.prove({ position: 2 })
    await expect(client.ledger.prove(event)).rejects.toMatchObject({ ...invalid, part: 'position' })
    await expect(collect(client.ledger.history('seat/1'))).rejects.toMatchObject({ ...invalid, part: 'content' })
  })

  test('believes what holds, and reads a history page by page', async () => {
    const { client } = await deceived((body) => body)
    const proofs = await collect(client.ledger.history('seat/1'))
    expect(proofs.map(({ revision }) => revision)).toEqual(seats.map((_, index) => index + 1))
    expect((await collect(client.ledger.history('seat/1', { after: 148 }))).length).toBe(2)
    const told: object[] = []
    const { fault, verified } = await client.ledger.verify({ onProgress: (progress) => told.push(progress) })
    expect([fault, verified, told]).toEqual([undefined, 300, [{ position: 300, head: 300 }]])
  })
})
