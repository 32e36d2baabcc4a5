import { cpSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { limits } from '../core/limits.ts'
import { journalOf, strandId, type TransactionSpec, writeExport } from '../qldb/fixtures/journal.ts'
import { ann, car, van, vehicles } from '../qldb/fixtures/vehicles.ts'
import { call, newStore, place, run } from './fixtures/command.ts'

/** A folder that holds the export of a journal. */
function exported(transactions: readonly TransactionSpec[] = vehicles, change = (block: string, _: number) => block) {
  const folder = place()
  mkdirSync(folder)
  const files = writeExport(folder, journalOf(transactions).map(change))
  return { folder, files }
}

const manifest = (folder: string) => {
  const [name = ''] = readdirSync(folder).filter((name) => name.endsWith('.completed.manifest'))
  return join(folder, name)
}

const qldb = (store: string, folder: string, ...more: string[]) =>
  call(store, 'import', folder, '--from', 'qldb-export', ...more)

/** One document, whose data is the Ion. */
const holding = (data: string): readonly TransactionSpec[] => [
  {
    statements: ['INSERT INTO Thing ?'],
    documents: { [ann]: { table: 'Thing', statements: [0] } },
    revisions: [{ id: ann, version: 0, data }],
  },
]

const dataOf = async (store: string) => (await call(store, 'read', `thing/${ann}`, '--json')).json()[0].data

describe('an import of a QLDB export', () => {
  test('makes documents streams and revisions events, with where they come from in their meta', async () => {
    const store = newStore()
    const { folder } = exported()
    expect(await run(store, ['import', folder, '--from', 'qldb-export'])).toMatchObject({
      code: 0,
      errors: '',
      output: expect.stringMatching(
        /^strand \w{22}: blocks 0 to 7 are proven; the hash of the last is \S{43}=\n5 revisions in 8 blocks read: 5 recorded, 0 there already\n$/,
      ),
    })
    const told = (await call(store, 'export'))
      .json()
      .map(({ stream, revision, type, data }) => [stream, revision, type, data])
    expect(told).toEqual([
      [`person/${ann}`, 1, 'PersonRedacted', null],
      [
        `vehicle-registration/${car}`,
        1,
        'VehicleRegistrationInserted',
        {
          VIN: '1N4AL11D75C109151',
          Penalty: 90.25,
          ValidFrom: '2017-08-21',
          Owners: { Primary: { PersonId: 'x' }, Others: [] },
        },
      ],
      [
        `vehicle-registration/${van}`,
        1,
        'VehicleRegistrationInserted',
        { VIN: 'KM8SRDHF6EU074761', Penalty: 442.3, Photo: '/9j/4AA=', Notes: null },
      ],
      [`person/${ann}`, 2, 'PersonUpdated', { FirstName: 'Ann', LastName: 'Meier', Height: 171 }],
      [`vehicle-registration/${van}`, 2, 'VehicleRegistrationDeleted', null],
    ])
    const [redacted, updated] = (await call(store, 'read', `person/${ann}`, '--json')).json()
    expect(redacted.meta).toEqual({
      occurredAt: '2022-06-08T18:00:02.000Z',
      qldb: {
        table: 'Person',
        tableId: 'id-of-Person',
        version: 0,
        strandId,
        sequenceNo: 2,
        transactionId: 'tx2',
        hash: expect.stringMatching(/^\S{43}=$/),
        dataHash: expect.stringMatching(/^\S{43}=$/),
        statements: [{ statement: 'INSERT INTO Person VALUE ?', startTime: '2022-06-08T18:00:02.120Z' }],
      },
    })
    expect(updated.meta.qldb).toMatchObject({ version: 1, annotations: { 'data.Height': ['cm'] } })
    const [van1] = (await call(store, 'read', `vehicle-registration/${van}`, '--json')).json()
    expect(van1.meta.qldb.statements).toHaveLength(1)
  })

  test('that is repeated, or goes on where one stopped, doubles nothing', async () => {
    const store = newStore()
    const { folder } = exported(vehicles, (block, at) => (at === 4 ? block.replace('cm::171', 'cm::170') : block))
    const broken = await qldb(store, folder)
    expect(broken).toMatchObject({ code: 2, output: '' })
    expect(broken.errors).toBe(
      `error 2022/06/08/18/${strandId}.4-7.ion, block 4: revisions[1]: was changed: its hash is not that of its metadata and data\n`,
    )
    expect((await call(store, 'info', '--json')).json()).toMatchObject([{ head: 3 }])
    const whole = exported()
    expect((await qldb(store, whole.folder, '--json')).json()).toMatchObject([
      { ledgers: ['vehicle-registration'], blocks: 8, revisions: 5, recorded: 2, repeated: 3 },
    ])
    expect((await qldb(store, whole.folder)).output).toContain('0 recorded, 5 there already')
    expect((await call(store, 'info', '--json')).json()).toMatchObject([{ head: 5 }])
  })

  test('of parts of a journal, one after the other, goes on with the streams', async () => {
    const store = newStore()
    const journal = journalOf(vehicles)
    const [early, late] = [place(), place()]
    writeExport(early, journal.slice(0, 4))
    writeExport(late, journal.slice(4), { first: 4, format: 'binary' })
    expect((await qldb(store, early)).code).toBe(0)
    expect((await qldb(store, late)).output).toContain('blocks 4 to 7 are proven')
    expect((await call(store, 'read', `person/${ann}`, '--json')).json()).toMatchObject([
      { revision: 1, type: 'PersonRedacted' },
      { revision: 2, type: 'PersonUpdated' },
    ])
  })

  test('keeps the order of revisions of a document that every block changes, and transactions whole', async () => {
    const store = newStore()
    const update = (version: number): TransactionSpec => ({
      statements: ['UPDATE Thing'],
      documents: { [ann]: { table: 'Thing', statements: [0] }, [`b${version}`]: { table: 'Other', statements: [0] } },
      revisions: [
        { id: `b${version}`, version: 0, data: '{}' },
        { id: ann, version, data: `{at:${version}}` },
      ],
    })
    const { folder } = exported(Array.from({ length: 50 }, (_, version) => update(version)))
    expect((await qldb(store, folder)).output).toContain('100 recorded')
    const log = (await call(store, 'export')).json()
    expect(log.map(({ stream, revision }) => `${stream}@${revision}`)).toEqual(
      Array.from({ length: 50 }, (_, at) => [`other/b${at}@1`, `thing/${ann}@${at + 1}`]).flat(),
    )
  })

  test('leaves the statements out where it is told to', async () => {
    const store = newStore()
    await qldb(store, exported().folder, '--no-statements')
    const [event] = (await call(store, 'read', `person/${ann}`, '--json')).json()
    expect(event.meta.qldb).not.toHaveProperty('statements')
  })

  test('gives tables the stream types that it is told, and refuses two tables of one type', async () => {
    const store = newStore()
    await qldb(store, exported().folder, '--map', 'VehicleRegistration=car', '--map', 'Person=owner')
    expect((await call(store, 'read', `car/${car}`, '--json')).json()).toMatchObject([{ type: 'CarInserted' }])
    const tables = (first: string, second: string): readonly TransactionSpec[] => [
      {
        statements: ['INSERT'],
        documents: { a: { table: first, statements: [0] }, b: { table: second, statements: [0] } },
        revisions: [
          { id: 'a', version: 0, data: '{}' },
          { id: 'b', version: 0, data: '{}' },
        ],
      },
    ]
    const clash = exported(tables('MyTable', 'my_table')).folder
    expect((await qldb(newStore(), clash)).errors).toContain('my_table and MyTable would both become my-table')
    expect((await qldb(newStore(), clash, '--map', 'my_table=other')).code).toBe(0)
    expect((await qldb(newStore(), clash, '--map', 'my_table')).errors).toContain('--map')
    expect((await qldb(newStore(), clash, '--map', 'my_table=no/type')).errors).toContain('--map: stream type')
    const odd = newStore()
    await qldb(odd, exported(tables('HTTPLogs2024Q1', '_x')).folder)
    const types = (await call(odd, 'export')).json().map(({ stream, type }) => [stream, type])
    expect(types).toEqual([
      ['http-logs2024-q1/a', 'HTTPLogs2024Q1Inserted'],
      ['x/b', 'XInserted'],
    ])
  })

  test('of a table that was dropped and made again puts the documents of both into streams of one type', async () => {
    const store = newStore()
    const insert = (id: string, tableId: string): TransactionSpec => ({
      statements: ['INSERT INTO Thing ?'],
      documents: { [id]: { table: 'Thing', tableId, statements: [0] } },
      revisions: [{ id, version: 0, data: '{}' }],
    })
    const again = [insert('a', 'first'), { statements: ['DROP TABLE Thing'] }, insert('b', 'second')]
    expect((await qldb(store, exported(again).folder)).errors).toBe('')
    const told = (await call(store, 'export')).json().map(({ stream, meta }) => [stream, meta.qldb.tableId])
    expect(told).toEqual([
      ['thing/a', 'first'],
      ['thing/b', 'second'],
    ])
  })

  test('as a dry run proves all, tells the same, and makes no store', async () => {
    const store = newStore()
    const dry = await qldb(store, exported().folder, '--dry-run')
    expect(dry.output).toContain('5 revisions in 8 blocks read: none is recorded: it was a dry run')
    expect(await call(store, 'info')).toMatchObject({ code: 4 })
    const unsayable = exported(holding('{a:[1,{b:9007199254740993}]}')).folder
    expect((await qldb(store, unsayable, '--dry-run')).errors).toContain('data.a[1].b: is 9007199254740993')
  })

  test('of what the store has otherwise, or has forgotten, stops there and says which block it was', async () => {
    const store = newStore()
    const { folder } = exported()
    await qldb(store, folder)
    const other = await qldb(store, folder, '--no-statements')
    expect([other.code, other.errors]).toEqual([3, expect.stringContaining('no exact repeat')])
    expect(other.errors).toContain(`${strandId}.0-3.ion, block 2 is not recorded:`)
    await call(store, 'forget', `person/${ann}`, '--reason', 'asked', '--yes')
    expect(await qldb(store, folder)).toMatchObject({
      code: 5,
      errors: expect.stringContaining('block 2 is not recorded:'),
    })
  })
})

describe('data', () => {
  test.each([
    ['{a:1, b:-7, c:100000000000000000000}', { a: 1, b: -7, c: 100000000000000000000 }],
    ['{a:90.250, b:1d3, c:-0.0, d:12345678.12345678}', { a: 90.25, b: 1000, c: 0, d: 12345678.12345678 }],
    ['{a:1.5e0, b:1e300, c:-0e0}', { a: 1.5, b: 1e300, c: 0 }],
    [
      '{a:2019T, b:2019-10T, c:2019-10-25, d:2019-10-25T17:20Z}',
      { a: '2019', b: '2019-10', c: '2019-10-25', d: '2019-10-25T17:20Z' },
    ],
    [
      '{a:2019-10-25T17:20:21.000+05:30, b:2019-10-25T17:20:21.123456789-00:00}',
      { a: '2019-10-25T17:20:21.000+05:30', b: '2019-10-25T17:20:21.123456789-00:00' },
    ],
    [
      '{a:{{aGVsbG8=}}, b:{{"a\\xff"}}, c:symbol, d:"text \\u00e9"}',
      { a: 'aGVsbG8=', b: 'a\u00ff', c: 'symbol', d: 'text é' },
    ],
    [
      '{a:null.timestamp, b:(1 two [3]), c:{}, "":true, "a b":[], __proto__:1}',
      { a: null, b: [1, 'two', [3]], c: {}, '': true, 'a b': [], ['__proto__']: 1 },
    ],
  ])('of a document in Ion, %s, has one form in JSON', async (ion, json) => {
    const store = newStore()
    expect((await qldb(store, exported(holding(ion)).folder)).errors).toBe('')
    expect(JSON.stringify(await dataOf(store))).toBe(JSON.stringify(sorted(json)))
  })

  test.each([
    ['{a:{b:[9007199254740993]}}', 'data.a.b[0]: is 9007199254740993, which a number cannot hold exactly'],
    ['{price:0.12345678901234567890}', 'data.price: is 12345678901234567890e-20'],
    ['{"a b":nan}', 'data["a b"]: is nan, which JSON cannot say'],
    ['{a:-inf}', 'data.a: is -inf'],
    ['{a:{b:1,b:2}}', 'data.a.b: stands twice in its struct'],
    [`{a:${'['.repeat(70)}${']'.repeat(70)}}`, 'jsonDepth'],
    [`{a:${'['.repeat(limits.ionDepth)}${']'.repeat(limits.ionDepth)}}`, 'ionDepth'],
    [`{a:"${'x'.repeat(limits.eventBytes)}"}`, 'eventBytes'],
  ])('that JSON cannot say, or that is too much, is refused by its place: %.40s', async (ion, reason) => {
    const store = newStore()
    const { code, errors } = await qldb(store, exported(holding(ion)).folder)
    expect([code, errors]).toEqual([2, expect.stringContaining(reason)])
    expect(errors).toContain(`${strandId}.0-0.ion, block 0: `)
    expect((await call(store, 'info', '--json')).json()).toMatchObject([{ head: 0 }])
  })

  test('with numbers as text holds every decimal with its digits, and every number that JSON has not', async () => {
    const store = newStore()
    const ion =
      '{a:90.250, b:1d3, c:-0.0, d:15d-10, e:9007199254740993, f:nan, g:+inf, h:-inf, i:7, j:1.5e0, k:-12.5d20, l:0.000001, m:5d-7}'
    await qldb(store, exported(holding(ion)).folder, '--numbers', 'text')
    expect(await dataOf(store)).toEqual({
      a: '90.250',
      b: '1E+3',
      c: '-0.0',
      d: '1.5E-9',
      e: '9007199254740993',
      f: 'nan',
      g: '+inf',
      h: '-inf',
      i: 7,
      j: 1.5,
      k: '-1.25E+21',
      l: '0.000001',
      m: '5E-7',
    })
  })
})

describe('a folder is refused', () => {
  const refused = async (folder: string, reason: string) => {
    const { code, errors } = await qldb(newStore(), folder)
    expect([code, errors]).toEqual([2, expect.stringContaining(reason)])
  }

  test('that holds no export, or one that has not ended', async () => {
    const { folder } = exported()
    rmSync(manifest(folder))
    await refused(folder, 'has no *.completed.manifest: the export has not ended')
    const empty = place()
    mkdirSync(empty)
    await refused(empty, 'has no *.completed.manifest: it is no folder of an export')
    const nowhere = place('nowhere')
    await refused(nowhere, `${nowhere}: cannot be read: ENOENT`)
    await refused(manifest(exported().folder), 'cannot be read: ENOTDIR')
    const other = await call(newStore(), 'import', empty)
    expect([other.code, other.errors]).toEqual([2, expect.stringContaining(`${empty} is a folder`)])
  })

  test('that has folders in the place of files, or a manifest without a list, with its name', async () => {
    const { folder, files } = exported()
    const [path = ''] = files
    rmSync(path)
    mkdirSync(path)
    await refused(folder, `${basename(path)}: cannot be read: EISDIR`)
    const listed = manifest(folder)
    for (const text of ['{}', '{keys:null}', '{keys:7}', 'null', '']) {
      writeFileSync(listed, text)
      await refused(folder, `${basename(listed)}`)
    }
    rmSync(listed)
    mkdirSync(listed)
    await refused(folder, `${basename(listed)}: cannot be read: EISDIR`)
  })

  test('only where blocks are there twice: copies of several exports may lie in it, each in a folder of its own', async () => {
    const { folder } = exported()
    const both = place()
    cpSync(folder, join(both, 'one'), { recursive: true })
    expect((await qldb(newStore(), both)).code).toBe(0)
    cpSync(folder, join(both, 'two'), { recursive: true })
    await refused(both, 'are in it again; the file before is one/')
  })

  test('that lacks a data object, or blocks between two', async () => {
    const { folder, files } = exported()
    rmSync(files[1] ?? '')
    await refused(folder, `keys[1]: journalExport/2022/06/08/18/${strandId}.4-7.ion is not in the folder`)
    const gap = exported()
    writeFileSync(manifest(gap.folder), `{keys:["x/${strandId}.0-3.ion","x/${strandId}.6-7.ion"]}`)
    for (const name of ['0-3', '6-7']) writeFileSync(join(gap.folder, `${strandId}.${name}.ion`), '')
    await refused(
      gap.folder,
      `${strandId}.6-7.ion: blocks 4 to 5 are missing before it; the file before is ${strandId}.0-3.ion`,
    )
    writeFileSync(manifest(gap.folder), `{keys:["x/${strandId}.0-3.ion","x/${strandId}.2-7.ion"]}`)
    writeFileSync(join(gap.folder, `${strandId}.2-7.ion`), '')
    await refused(gap.folder, `${strandId}.2-7.ion: blocks 2 to 3 are in it again`)
    writeFileSync(manifest(gap.folder), `{keys:["x/${strandId}.6-3.ion"]}`)
    writeFileSync(join(gap.folder, `${strandId}.6-3.ion`), '')
    await refused(gap.folder, 'ends before it begins')
  })

  test.each([
    ['{keys:', 'is no Ion'],
    ['[1]', 'is no manifest: it must be a struct'],
    ['', 'is no manifest'],
    ['{keys:1}', 'keys: must be a list'],
    ['{keys:[1]}', 'keys[0]: is no key such as STRAND.0-99.ion'],
    ['{keys:["../../etc/passwd"]}', 'keys[0]: is no key'],
    [`{keys:["../../../${strandId}.0-1.ion"]}`, 'is not in the folder'],
    [`{keys:["${strandId}.0-1.json"]}`, 'is JSON, and lacks types that hashes are made of: take an export in Ion'],
  ])('whose manifest is %s', async (text, reason) => {
    const { folder } = exported()
    writeFileSync(manifest(folder), text)
    await refused(folder, reason)
  })

  test.each([
    ['', 'block 0: is missing: the file ends before it'],
    ['{{{', 'block 0: is no Ion'],
    ['%PDF-1.4', 'block 0: '],
    ['"a text"', 'block 0: it: must be a struct'],
    ['{}', 'block 0: blockAddress: is missing'],
    ['{blockAddress:{strandId:"x",sequenceNo:-1}}', 'block 0: blockAddress.sequenceNo: must be a whole number from 0'],
    [Buffer.from([0xff, 0xfe, 0x00]), 'block 0: is no Ion'],
    [Buffer.from([0xe0, 0x01, 0x00, 0xea, 0xde, 0xff]), 'block 0: '],
  ])('in which a data object is %s', async (content, reason) => {
    const { folder, files } = exported()
    writeFileSync(files[0] ?? '', content)
    await refused(folder, `${strandId}.0-3.ion, ${reason}`)
  })

  test('of a journal that another strand has written', async () => {
    const { folder, files } = exported()
    const text = readFileSync(manifest(folder), 'utf8')
    writeFileSync(manifest(folder), text.replaceAll(strandId, 'AnotherStrand'))
    for (const file of files) renameSync(file, file.replace(strandId, 'AnotherStrand'))
    await refused(folder, `block 0: blockAddress.strandId: is ${strandId}, and the name of its file tells another`)
  })
})

test('an option of one format is refused with the other', async () => {
  const { folder } = exported()
  expect((await qldb(newStore(), folder, '--on-error', 'skip')).errors).toContain(
    '--on-error: goes only with --from ndjson',
  )
  for (const option of ['--dry-run', '--no-statements']) {
    expect((await call(newStore(), 'import', '-', option)).errors).toContain(
      `${option}: goes only with --from qldb-export`,
    )
  }
})

/** As the canonical form has its keys. */
function sorted(json: object): object {
  return Object.fromEntries(Object.entries(json).sort(([a], [b]) => (a < b ? -1 : 1)))
}

describe('an export in JSON', () => {
  const json = (transactions = vehicles, change = (text: string) => text) => {
    const folder = place()
    mkdirSync(folder)
    const files = writeExport(folder, journalOf(transactions), { format: 'json' })
    for (const file of files) writeFileSync(file, change(readFileSync(file, 'utf8')))
    return folder
  }

  test('is refused, with what to do; or taken, with what JSON cannot prove marked', async () => {
    const store = newStore()
    const folder = json()
    expect(await qldb(store, folder)).toMatchObject({ code: 2, errors: expect.stringContaining('or --unproven') })
    const taken = await qldb(store, folder, '--unproven')
    expect(taken.output).toContain('5 revisions in 8 blocks read: 5 recorded')
    expect(taken.errors).toBe('3 revisions cannot be proven from JSON: meta.qldb.proven is false\n')
    const events = (await call(store, 'export')).json()
    // Blobs, dates and annotations of documents are lost; what is text and numbers, redacted or deleted is proven.
    expect(events.map(({ type, meta }) => [type, meta.qldb.proven])).toEqual([
      ['PersonRedacted', undefined],
      ['VehicleRegistrationInserted', false],
      ['VehicleRegistrationInserted', false],
      ['PersonUpdated', false],
      ['VehicleRegistrationDeleted', undefined],
    ])
    expect((await qldb(store, folder, '--unproven')).output).toContain('0 recorded, 5 there already')
  })

  test('is proven whole where documents hold nothing but what JSON has', async () => {
    const store = newStore()
    const { errors } = await qldb(store, json(holding('{a:"text",b:[1,2.5,true,null],c:{d:-7}}')), '--unproven')
    expect(errors).toBe('')
    expect(await dataOf(store)).toEqual({ a: 'text', b: [1, 2.5, true, null], c: { d: -7 } })
  })

  test.each([
    ['entriesHash', 'block 1: entriesHash: is not the root of entriesHashList'],
    ['blockHash', 'block 1: blockHash: is not the hash of entriesHash and previousBlockHash'],
    ['previousBlockHash', 'block 1: previousBlockHash: is not the hash of the block before: the chain is broken here'],
  ])('whose chain is broken at %s is refused all the same', async (field, reason) => {
    const folder = json(vehicles, (text) => {
      let seen = 0
      return text.replaceAll(new RegExp(`"${field}":"(.)`, 'g'), (all, letter: string) =>
        seen++ === 1 ? `${all.slice(0, -1)}${letter === 'A' ? 'B' : 'A'}` : all,
      )
    })
    const { code, errors } = await qldb(newStore(), folder, '--unproven', '--dry-run')
    expect([code, errors]).toEqual([2, expect.stringContaining(reason)])
  })
})
