/** Starting writers and checking what they left. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { logAll, range } from '../../src/conformance/kit.ts'
import { parseContent } from '../../src/core/content.ts'
import type { Storage } from '../../src/core/storage.ts'
import { type Acknowledged, counters, type WriterOptions } from './writer.ts'

export interface Writer {
  readonly process: ChildProcess
  /** Resolves when it has acknowledged something, or has ended. */
  readonly begun: Promise<unknown>
  /** How much it has acknowledged until now. */
  told(): number
  /** What it has acknowledged, once it ended; throws where it failed and was not killed. */
  readonly done: Promise<readonly Acknowledged[]>
}

export function startWriter(options: WriterOptions, wrapper: readonly string[] = []): Writer {
  const script = fileURLToPath(new URL('./writer.ts', import.meta.url))
  const [command = '', ...args] = [...wrapper, process.execPath, '--disable-warning=ExperimentalWarning', script]
  const child = spawn(command, [...args, JSON.stringify(options)], { stdio: ['ignore', 'pipe', 'pipe'] })
  const errors = text(child.stderr)
  let output = ''
  let told = 0
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    output += chunk
    told += chunk.split('\n').length - 1
  })
  const begun = Promise.race([once(child.stdout, 'data'), once(child, 'close')])
  const done = (async () => {
    const [code, signal] = (await once(child, 'close')) as [number | null, string | null]
    if (code !== 0 && signal !== 'SIGKILL') throw new Error(`the writer ended with ${code ?? signal}: ${await errors}`)
    // The last line may be cut off where it was killed.
    const lines = output.split('\n').slice(0, -1)
    return lines.map((line) => JSON.parse(line) as Acknowledged)
  })()
  return { process: child, begun, told: () => told, done }
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
