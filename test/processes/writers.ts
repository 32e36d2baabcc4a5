/** Starting writers and checking what they left. */
import assert from 'node:assert/strict'
import { logAll, range } from '../../src/conformance/kit.ts'
import { parseContent } from '../../src/core/content.ts'
import type { Storage } from '../../src/core/storage.ts'
import { startTelling, type Telling } from './telling.ts'
import { type Acknowledged, counters, type WriterOptions } from './writer.ts'

export function startWriter(options: WriterOptions, wrapper: readonly string[] = []): Telling<Acknowledged> {
  return startTelling('./writer.ts', options, wrapper)
}

/** Every acknowledged append is there once, positions and revisions have no gaps, documents and lists agree with events. */
export async function checkFile(storage: Storage, acknowledged: readonly Acknowledged[]): Promise<void> {
  const log = await logAll(storage)
  assert.deepEqual(
    log.map(({ position }) => position),
    range(1, log.length),
  )
  const revisions = new Map<string, number>()
  const ids = new Map<string, { stream: string; revision: number; position?: number }>()
  for (const record of log) {
    assert.equal(record.revision, (revisions.get(record.stream) ?? 0) + 1, record.stream)
    revisions.set(record.stream, record.revision)
    assert.ok(record.state === 'stored')
    const { id } = parseContent(record.content)
    assert.equal(ids.has(id), false, `${id} is there twice`)
    ids.set(id, {
      stream: record.stream,
      revision: record.revision,
      ...(record.position && { position: record.position }),
    })
  }
  for (const { id, ...told } of acknowledged) {
    // A position that was not known yet is whichever the record got.
    const where = ids.get(id)
    assert.deepEqual(where, { position: where?.position, ...told }, `${id} was acknowledged`)
  }
  const counted = [...revisions.keys()].filter((stream) => stream.startsWith('seat/'))
  const keys = counted.map((key) => ({ collection: counters.collection, key }))
  const documents = await storage.getDocuments(keys)
  for (const [index, { key }] of keys.entries()) {
    assert.deepEqual(JSON.parse(documents[index]?.body ?? 'null'), { count: revisions.get(key) }, key)
  }
  const listed = new Map<string, number>()
  for (const type of ['seat', 'plain']) {
    for (let cursor: string | undefined; ; ) {
      const page = await storage.listStreams({ type, limit: 1_000, ...(cursor !== undefined && { cursor }) })
      for (const { stream, revision } of page.streams) listed.set(stream, revision)
      cursor = page.next
      if (cursor === undefined) break
    }
  }
  assert.deepEqual(new Map([...listed].sort()), new Map([...revisions].sort()))
}
