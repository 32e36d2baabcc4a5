import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, test } from 'vitest'
import { limits } from '../core/limits.ts'
import { createMapper } from './events.ts'
import { findExport } from './export.ts'
import { type ExportOptions, journalOf, strandId, type TransactionSpec, writeExport } from './fixtures/journal.ts'
import { ann, car, van, vehicles } from './fixtures/vehicles.ts'
import { readJournal } from './journal.ts'

const root = mkdtempSync(join(tmpdir(), 'daybook-qldb-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))
const newFolder = () => mkdtempSync(join(root, 'export-'))

/** What a folder gives until it ends or fails. */
async function read(folder: string) {
  const eventsOf = createMapper({ streamTypes: new Map(), numbers: 'exact', statements: 'kept' })
  const blocks: number[] = []
  const events: unknown[] = []
  try {
    for await (const { block, unproven } of readJournal((await findExport(folder)).files)) {
      blocks.push(block.sequenceNo)
      events.push(...eventsOf(block, unproven))
    }
  } catch (error) {
    return { blocks, events, error: (error as Error).message }
  }
  return { blocks, events }
}

function exported(blocks: readonly string[], options?: ExportOptions): Promise<Awaited<ReturnType<typeof read>>> {
  const folder = newFolder()
  writeExport(folder, blocks, options)
  return read(folder)
}

const object = (first: number, last: number) => `2022/06/08/18/${strandId}.${first}-${last}.ion`
/** The block, changed by its text. */
const changed = (blocks: readonly string[], at: number, from: string | RegExp, to: string) =>
  blocks.map((text, index) => {
    if (index !== at) return text
    if (!text.match(from)) throw new Error(`Block ${at} has no ${from}`)
    return text.replace(from, to)
  })

describe.each(['text', 'binary'] as const)('a journal in Ion %s', (format) => {
  test('is read whole, and proven', async () => {
    const { blocks, events, error } = await exported(journalOf(vehicles), { format })
    expect([blocks, error]).toEqual([[0, 1, 2, 3, 4, 5, 6, 7], undefined])
    expect(events).toEqual((await exported(journalOf(vehicles), { perFile: 3 })).events)
  })

  test('may begin at any block', async () => {
    const part = journalOf([vehicles[6], vehicles[7]] as TransactionSpec[], 90)
    expect((await exported(part, { format, first: 90 })).blocks).toEqual([90, 91])
  })

  const journal = journalOf(vehicles)
  const other = journalOf([{ statements: ['another journal'] }, ...vehicles.slice(1)])
  test.each([
    ['data', changed(journal, 3, '90.25', '90.26'), 3, 'revisions[1]: was changed'],
    ['more data', changed(journal, 4, 'cm::171', 'cm::172'), 4, 'revisions[1]: was changed'],
    ['an annotation', changed(journal, 4, 'cm::171', 'm::171'), 4, 'revisions[1]: was changed'],
    ['the type of a number', changed(journal, 4, 'cm::171', 'cm::171.'), 4, 'revisions[1]: was changed'],
    ['the precision of a number', changed(journal, 3, '442.30', '442.3'), 3, 'revisions[2]: was changed'],
    [
      'the time of a revision',
      changed(journal, 4, /txTime:[^,]+/, 'txTime:2022-06-08T18:00:05.000Z'),
      4,
      'revisions[1]',
    ],
    ['a version', changed(journal, 4, 'version:1', 'version:2'), 4, 'revisions[1]: was changed'],
    ['what was redacted', changed(journal, 2, /dataHash:{{../, 'dataHash:{{AA'), 2, 'revisions[1]: was changed'],
    [
      'a redaction that was none',
      changed(journal, 3, /data:{VIN:"1N[\s\S]*?\]}}/, `dataHash:{{${'A'.repeat(43)}=}}`),
      3,
      'revisions[1]',
    ],
    ['a deletion that was none', changed(journal, 4, /data:{[^}]*},/, ''), 4, 'revisions[1]: was changed'],
    [
      'a hash of QLDB',
      changed(journal, 3, /revisions:\[{hash:{{../, 'revisions:[{hash:{{AA'),
      3,
      'revisions: were changed',
    ],
    ['a statement', changed(journal, 4, 'UPDATE Person', 'UPDATE People'), 4, 'transactionInfo: was changed'],
    [
      'a table',
      changed(journal, 3, 'tableName:"VehicleRegistration"', 'tableName:"Person"'),
      3,
      'transactionInfo: was',
    ],
    ['a redaction', changed(journal, 5, 'tableId:"t"', 'tableId:"u"'), 5, 'redactionInfo: was changed'],
    ['an entry', changed(journal, 1, /(entriesHashList:.*){{..([^{]*\],)/, '$1{{AA$2'), 1, 'entriesHash: is not'],
    ['the entries', changed(journal, 1, /entriesHash:{{../, 'entriesHash:{{AA'), 1, 'entriesHash: is not the root'],
    ['the hash of a block', changed(journal, 1, /blockHash:{{../, 'blockHash:{{AA'), 1, 'blockHash: is not the hash'],
    [
      'the link',
      changed(journal, 1, /previousBlockHash:{{../, 'previousBlockHash:{{AA'),
      1,
      'previousBlockHash: is not',
    ],
    ['the transaction', changed(journal, 4, 'transactionId:"tx4"', 'transactionId:"tx5"'), 4, 'metadata.txId: is tx4'],
    [
      'an address',
      changed(journal, 4, `hash:`, 'hash:').map((text, at) =>
        at === 4 ? text.replace(/(revisions:[\s\S]*sequenceNo:)4/, '$15') : text,
      ),
      4,
      'revisions[1].blockAddress',
    ],
    [
      'a block of another journal',
      [...journal.slice(0, 3), other[3] ?? '', ...journal.slice(4)],
      3,
      'the chain is broken here',
    ],
    ['a first block', [other[0] ?? '', ...journal.slice(1)], 1, 'the chain is broken here'],
    [
      'a block robbed of its revisions',
      changed(journal, 3, /revisions:\[[\s\S]*\]/, 'revisions:[]'),
      3,
      `${car}: was changed by a revision that is not`,
    ],
    [
      'a revision robbed of all but its hash',
      changed(journal, 3, /{blockAddress:{[^}]*},hash:({{[^}]*}}),data:{VIN:"KM8[\s\S]*?"}}/, '{hash:$1}'),
      3,
      `${van}: was changed`,
    ],
    [
      'a block robbed of all',
      changed(changed(journal, 3, /revisions:\[[\s\S]*\]/, 'revisions:[]'), 3, / {2}transactionInfo:.*\n/, ''),
      6,
      'metadata.version: is 1, and there was none before',
    ],
    [
      'blocks in another order',
      [...journal.slice(0, 2), journal[3] ?? '', journal[2] ?? '', ...journal.slice(4)],
      2,
      'is 3, and 2 must stand here',
    ],
    ['a block less', [...journal.slice(0, 2), ...journal.slice(3)], 2, 'is 3, and 2 must stand here'],
    ['a block twice', [...journal.slice(0, 3), ...journal.slice(2)], 3, 'is 2, and 3 must stand here'],
  ])('in which %s is not as it was breaks where that is', async (_, blocks, broken, reason) => {
    const { blocks: proven, error } = await exported(blocks, { format })
    expect(error).toContain(reason)
    expect(error).toContain(`${broken < 4 ? object(0, 3) : object(4, blocks.length - 1)}, block ${broken}: `)
    expect(proven).toEqual(journal.slice(0, broken).map((_, at) => at))
  })
})

test('journals of two strands in one folder are proven each by itself', async () => {
  const folder = newFolder()
  writeExport(folder, journalOf(vehicles))
  const other = journalOf(vehicles.slice(0, 2)).map((text) => text.replaceAll(strandId, 'AnotherStrand'))
  writeFileSync(join(folder, 'AnotherStrand.0-1.ion'), other.join('\n'))
  writeFileSync(join(folder, 'x.AnotherStrand.completed.manifest'), '{keys:["AnotherStrand.0-1.ion"]}')
  expect(await read(folder)).toMatchObject({ blocks: [0, 1, 0, 1, 2, 3, 4, 5, 6, 7] })
})

test('a block that is not the first must tell what came before it', async () => {
  const [block = ''] = journalOf([{}])
  const moved = block.replace('sequenceNo:0', 'sequenceNo:5')
  expect((await exported([moved], { first: 5 })).error).toContain(
    'previousBlockHash: is empty, as only in the first block',
  )
})

test('a file that is longer than anybody should hold is refused before it is read', async () => {
  const folder = newFolder()
  const [path = ''] = writeExport(folder, journalOf(vehicles))
  truncateSync(path, limits.exportFileBytes + 1)
  expect((await read(folder)).error).toMatch(/0-3\.ion: \d+ is over the limit exportFileBytes/)
})

test('the export that the guide imports is that of these tests', () => {
  const folder = newFolder()
  writeExport(folder, journalOf(vehicles))
  const guides = fileURLToPath(new URL('../../docs/qldb-export/', import.meta.url))
  const filesOf = (place: string) =>
    readdirSync(place, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ name, parentPath }) => [name, readFileSync(join(parentPath, name), 'utf8')])
      .sort()
  expect(filesOf(guides)).toEqual(filesOf(folder))
})

describe('a deletion', () => {
  const spec = (statement: string): readonly TransactionSpec[] => [
    {
      statements: ['INSERT'],
      documents: { [ann]: { table: 'A', statements: [0] } },
      revisions: [{ id: ann, version: 0, data: '{}' }],
    },
    {
      statements: [statement],
      documents: { [ann]: { table: 'A', statements: [0] } },
      revisions: [{ id: ann, version: 1, data: '{made:"otherwise"}' }],
    },
  ]
  const withoutData = (blocks: readonly string[]) => changed(blocks, 1, 'data:{made:"otherwise"},', '')

  test('whose hash is made in a way that nobody has told is taken where its transaction says so', async () => {
    const { events, error } = await exported(withoutData(journalOf(spec(' delete FROM A'))))
    expect(error).toBeUndefined()
    expect(events).toMatchObject([{}, { events: [{ type: 'ADeleted', data: null }] }])
  })

  test('is not taken for one where its transaction has done something else', async () => {
    expect((await exported(withoutData(journalOf(spec('UPDATE A'))))).error).toContain('revisions[1]: was changed')
  })
})

describe('versions', () => {
  const step = (version: number, statements = [0]): TransactionSpec => ({
    statements: ['UPDATE A', 'UPDATE A'],
    documents: { [ann]: { table: 'A', statements } },
    revisions: [{ id: ann, version, data: '{}' }],
  })

  test.each([
    ['is left out', [step(0), step(2)], 0, 'is 2, and the one before was 0'],
    ['comes again', [step(0), step(0)], 0, 'is 0, and the one before was 0'],
    ['is the first, and is not 0', [step(1)], 0, 'is 1, and there was none before'],
    ['is left out of a part of a journal', [step(7), step(9)], 90, 'is 9, and the one before was 7'],
  ])('of which one %s show that a block is not what it was', async (_, specs, first, reason) => {
    expect((await exported(journalOf(specs, first), { first })).error).toContain(reason)
  })

  test('go up by as many as the statements of a transaction have changed the document, or by one', async () => {
    expect((await exported(journalOf([step(1, [0, 1]), step(3, [0, 1]), step(4)]))).error).toBeUndefined()
    expect((await exported(journalOf([step(7), step(8)], 90), { first: 90 })).error).toBeUndefined()
  })

  test('of a document that one transaction has made and deleted need not be in the journal', async () => {
    const passing = {
      statements: ['INSERT', 'DELETE FROM A'],
      documents: { [ann]: { table: 'A', statements: [0, 1] } },
    }
    expect((await exported(journalOf([passing]))).error).toBeUndefined()
  })
})

describe.each(['text', 'binary'] as const)('an export in Ion %s', (format) => {
  const folder = newFolder()
  const [path = ''] = writeExport(folder, journalOf(vehicles).slice(0, 4), { format })
  const whole = readFileSync(path)

  test('that is cut off anywhere gives the blocks before, and says where it ends', async () => {
    for (let length = 0; length < whole.length - 1; length += 11) {
      truncateSync(path, length)
      const { blocks, error } = await read(folder)
      expect(error, `cut off at ${length}`).toMatch(/, block [0-3]: |, block [0-3]$/)
      expect(blocks.length, `cut off at ${length}`).toBeLessThan(4)
      writeFileSync(path, whole)
    }
  })

  test('with any bit flipped is refused, or gives the same events', async () => {
    const { events } = await read(folder)
    for (let at = 0; at < whole.length; at += 5) {
      const bytes = Buffer.from(whole)
      bytes[at] = (bytes[at] ?? 0) ^ (1 << (at % 8))
      writeFileSync(path, bytes)
      const flipped = await read(folder)
      if (flipped.error === undefined) expect(flipped.events, `flipped at ${at}`).toEqual(events)
      else expect(flipped.events, `flipped at ${at}`).toEqual(events.slice(0, flipped.events.length))
    }
    writeFileSync(path, whole)
  })
})
