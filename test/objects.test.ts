/** Every object store against the same contract. */
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  HeadObjectCommand,
  ListObjectVersionsCommand,
  PutObjectCommand,
  PutObjectRetentionCommand,
} from '@aws-sdk/client-s3'
import { afterAll, describe, expect, test } from 'vitest'
import { type OpenObjects, objectConformance } from '../src/conformance/index.ts'
import { limits } from '../src/core/limits.ts'
import { keysUnder, type ObjectStore } from '../src/core/object-store.ts'
import { checkBackup, openStore } from '../src/index.ts'
import { folderObjects } from '../src/objects/folder.ts'
import { parseS3Url, s3Objects } from '../src/objects/s3.ts'
import { openObjects } from '../src/open.ts'
import { memoryStorage } from '../src/storage/memory/storage.ts'
import { clientOf, missingS3, startS3 } from './engines/s3.ts'

const folder = mkdtempSync(join(tmpdir(), 'daybook-objects-'))
const s3 = await startS3()
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true })
  if (!('missing' in s3)) await s3.stop()
})

describe('a folder', () => {
  const open: OpenObjects = async ({ name }) => folderObjects(join(folder, name))
  for (const { promise, run } of objectConformance(open)) test(promise, run)

  test('keeps an object as a file of its name, and nothing else that lasts', async () => {
    const place = join(folder, 'plain')
    const objects = folderObjects(place)
    await objects.put('segments/one.json', Uint8Array.of(1), { if: 'absent' })
    await objects.put('segments/one.json', Uint8Array.of(2), { if: 'absent' })
    await objects.put('segments/one.json', Uint8Array.of(3))
    expect(readdirSync(join(place, 'segments'))).toEqual(['one.json'])
    expect(readdirSync(join(place, '.parts'))).toEqual([])
    expect((await objects.list({ prefix: '', limit: 10 })).objects).toEqual([{ key: 'segments/one.json', bytes: 1 }])
  })

  test('says where a folder has the place of an object, and that nobody was faster', async () => {
    const objects = folderObjects(join(folder, 'folders'))
    await objects.put('a/one', Uint8Array.of(1))
    await expect(objects.put('a', Uint8Array.of(1), { if: 'absent' })).rejects.toThrow(/folders\/a is a folder/)
    await expect(objects.put('a', Uint8Array.of(1))).rejects.toThrow(/folders\/a/)
  })

  test('lists what are objects, and leaves alone what somebody has put beside them', async () => {
    const place = join(folder, 'strange')
    const objects = folderObjects(place)
    await objects.put('a/one', Uint8Array.of(1))
    for (const name of ['one~', 'one copy', 'ä', '.DS_Store']) writeFileSync(join(place, 'a', name), 'strange')
    await objects.put('a/two', Uint8Array.of(2))
    expect(await keysUnder(objects, 'a/')).toEqual(['a/one', 'a/two'])
  })

  test('clears away what a crash has left of writing, and not what another process is at', async () => {
    const place = join(folder, 'crashed')
    await folderObjects(place).put('one', Uint8Array.of(1))
    const long = (Date.now() - limits.objectPartMs - 60_000) / 1_000
    writeFileSync(join(place, '.parts', 'old'), 'half')
    utimesSync(join(place, '.parts', 'old'), long, long)
    writeFileSync(join(place, '.parts', 'young'), 'half')
    await folderObjects(place).put('two', Uint8Array.of(2))
    expect(readdirSync(join(place, '.parts'))).toEqual(['young'])
  })
})

const missing = missingS3(s3)
describe.skipIf(missing !== undefined)(`S3${missing ? ` (${missing})` : ''}`, () => {
  const open: OpenObjects = async ({ name }) => {
    if ('missing' in s3) throw new Error(s3.missing)
    buckets.set(name, buckets.get(name) ?? s3.newBucket())
    const bucket = (await buckets.get(name)) ?? ''
    return inTurns(s3Objects({ bucket, prefix: 'archive/of-ours', client: clientOf(s3.endpoint) }))
  }
  const buckets = new Map<string, Promise<string>>()

  test('tells that a bucket keeps what is deleted, and until when it is locked', async () => {
    if ('missing' in s3) throw new Error(s3.missing)
    const client = clientOf(s3.endpoint)
    const plain = s3Objects({ bucket: await s3.newBucket(), client })
    await plain.put('one', Uint8Array.of(1))
    expect([await plain.keeps?.('one'), await plain.keeps?.('none')]).toEqual([undefined, undefined])
    const bucket = `locked-${crypto.randomUUID()}`
    await client.send(new CreateBucketCommand({ Bucket: bucket, ObjectLockEnabledForBucket: true }))
    const locked = s3Objects({ bucket, client })
    await locked.put('one', Uint8Array.of(1))
    expect(await locked.keeps?.('one')).toEqual({})
    const until = new Date('2040-01-01T00:00:00.000Z')
    const Retention = { Mode: 'GOVERNANCE', RetainUntilDate: until } as const
    await client.send(new PutObjectRetentionCommand({ Bucket: bucket, Key: 'one', Retention }))
    expect(await locked.keeps?.('one')).toEqual({ until: until.toISOString() })
    await locked.delete('one')
    expect(await locked.get('one')).toBeUndefined()
    client.destroy()
  })

  let last: Promise<unknown> = Promise.resolve()
  /** The server looks at what is there, and writes a moment later; S3 itself does both at once. */
  function inTurns(objects: ObjectStore): ObjectStore {
    return {
      ...objects,
      put(...asked) {
        const put = last.then(() => objects.put(...asked))
        last = put.catch(() => {})
        return put
      },
    }
  }
  for (const { promise, run } of objectConformance(open)) test(promise, run)

  test('keeps to its prefix, and is opened by a URL', async () => {
    if ('missing' in s3) throw new Error(s3.missing)
    const bucket = await s3.newBucket()
    const at = (prefix: string) => openObjects(`s3://${bucket}${prefix}?region=us-east-1&endpoint=${s3.endpoint}`)
    const [one, other, all] = [await at('/one'), await at('/other/'), await at('')]
    await one.put('a', Uint8Array.of(1))
    await other.put('a', Uint8Array.of(2, 2))
    expect((await one.list({ prefix: '', limit: 10 })).objects).toEqual([{ key: 'a', bytes: 1 }])
    expect((await all.list({ prefix: '', limit: 10 })).objects.map(({ key }) => key)).toEqual(['one/a', 'other/a'])
    for (const objects of [one, other, all]) await objects.close()
  })

  test('locks what is to be retained, in a bucket with Object Lock; in another one it is refused', async () => {
    if ('missing' in s3) throw new Error(s3.missing)
    const client = clientOf(s3.endpoint)
    const bucket = `locked-${crypto.randomUUID()}`
    await client.send(new CreateBucketCommand({ Bucket: bucket, ObjectLockEnabledForBucket: true }))
    const retainUntil = Date.now() + 86_400_000
    const condition = { if: 'absent', retainUntil } as const
    const objects = s3Objects({ bucket, client })
    expect((await objects.put('checkpoints/1', Uint8Array.of(1), condition)).outcome).toBe('written')
    const { ObjectLockMode: mode, ObjectLockRetainUntilDate: until } = await client.send(
      new HeadObjectCommand({ Bucket: bucket, Key: 'checkpoints/1' }),
    )
    expect([mode, until?.getTime()]).toEqual(['COMPLIANCE', retainUntil])
    const { Versions = [] } = await client.send(new ListObjectVersionsCommand({ Bucket: bucket }))
    const version = { Bucket: bucket, Key: 'checkpoints/1', VersionId: Versions[0]?.VersionId }
    await expect(client.send(new DeleteObjectCommand(version))).rejects.toMatchObject({ name: 'AccessDenied' })
    const plain = s3Objects({ bucket: await s3.newBucket(), client })
    await expect(plain.put('checkpoints/1', Uint8Array.of(1), condition)).rejects.toThrow()
    client.destroy()
  })

  test('lists what are objects, and leaves alone what somebody has put beside them', async () => {
    if ('missing' in s3) throw new Error(s3.missing)
    const client = clientOf(s3.endpoint)
    const Bucket = await s3.newBucket()
    const objects = s3Objects({ bucket: Bucket, client })
    for (const Key of ['a/', 'a/one~', 'a/one copy', 'b/ä'])
      await client.send(new PutObjectCommand({ Bucket, Key, Body: 'strange' }))
    for (const key of ['a/one', 'a/two', 'c']) await objects.put(key, Uint8Array.of(1))
    expect(await keysUnder(objects, '')).toEqual(['a/one', 'a/two', 'c'])
    const first = await objects.list({ prefix: '', limit: 1 })
    expect([first.objects[0]?.key, first.more]).toEqual(['a/one', true])
    const rest = await objects.list({ prefix: '', limit: 2, after: 'a/one' })
    expect(rest.objects.map(({ key }) => key)).toEqual(['a/two', 'c'])
    client.destroy()
  })

  test('takes a bucket that is not there for an error, and not for an empty one', async () => {
    if ('missing' in s3) throw new Error(s3.missing)
    const objects = s3Objects({ bucket: 'never-made', client: clientOf(s3.endpoint) })
    for (const ask of [
      () => objects.get('a'),
      () => objects.put('a', Uint8Array.of(1), { if: 'absent' }),
      () => objects.list({ prefix: '', limit: 1 }),
    ]) {
      await expect(ask()).rejects.toMatchObject({ name: 'NoSuchBucket' })
    }
  })

  test('whose answer got lost is asked again, and who has written knows that it was himself', async () => {
    if ('missing' in s3) throw new Error(s3.missing)
    const bucket = await s3.newBucket()
    const lossy = await losing(s3.endpoint)
    const objects = s3Objects({ bucket, client: clientOf(lossy.endpoint, 3) })
    const first = await objects.put('one', Uint8Array.of(1), { if: 'absent' })
    expect(first.outcome).toBe('written')
    expect(await objects.put('one', Uint8Array.of(2), { if: 'absent' })).toEqual({ outcome: 'conflict' })
    const etag = first.outcome === 'written' ? first.etag : ''
    const next = await objects.put('one', Uint8Array.of(2), { if: 'unchanged', etag })
    expect(next.outcome).toBe('written')
    expect((await objects.get('one'))?.bytes).toEqual(Uint8Array.of(2))

    await using store = await openStore(memoryStorage())
    await store.append('guest/1', [{ type: 'Visited' }])
    expect((await store.backup(objects)).number).toBe(1)
    expect((await checkBackup(objects)).to).toBe(1)
    await lossy.stop()
  })
})

test('a server that knows nothing of objects has none that are absent', async () => {
  const server = createServer((_, response) => response.writeHead(404).end('<html>no such page</html>'))
  const { endpoint, stop } = await listening(server)
  const objects = s3Objects({ bucket: 'b', client: clientOf(endpoint) })
  await expect(objects.get('one')).rejects.toThrow()
  await expect(objects.put('one', Uint8Array.of(1), { if: 'unchanged', etag: 'x' })).rejects.toThrow()
  await stop()
})

test('a URL names an object store, and what is none is refused with how to write it', async () => {
  expect((await openObjects(`file:${folder}/url`)).name).toBe(`folder ${folder}/url`)
  expect(parseS3Url('s3://bucket/a/b?region=eu-central-1')).toEqual({
    bucket: 'bucket',
    prefix: 'a/b',
    region: 'eu-central-1',
  })
  for (const url of ['', 'file:', 'ftp://x', 's3://', 's3://b?colour=red', 's3://b?endpoint=http://me:secret@host']) {
    await expect(openObjects(url), url).rejects.toMatchObject({ code: 'invalid-argument' })
  }
  await expect(openObjects('s3://b?endpoint=http://me:secret@host')).rejects.not.toThrow('secret')
})

/** A way to the server on which the answer to each first try of a write is lost. */
async function losing(to: string) {
  let lost = ''
  const server = createServer(async (request, response) => {
    const body = Buffer.concat(await request.toArray())
    const { method = '', url = '' } = request
    const { host: _, ...headers } = request.headers
    const answer = await fetch(new URL(url, to), {
      ...{ method, headers: headers as Record<string, string> },
      ...(method === 'PUT' && { body }),
    })
    const bytes = new Uint8Array(await answer.arrayBuffer())
    if (method === 'PUT' && lost !== `${url} ${body}`) {
      lost = `${url} ${body}`
      response.destroy()
      return
    }
    response.writeHead(answer.status, Object.fromEntries(answer.headers)).end(bytes)
  })
  return listening(server)
}

async function listening(server: Server) {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const stop = async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
  return { endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, stop }
}
