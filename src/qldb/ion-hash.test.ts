import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { dot, rootOf } from './chain.ts'
import { ionHash as amazons, binaryOf } from './fixtures/journal.ts'
import { type Ion, readIon } from './ion.ts'
import { ionHash } from './ion-hash.ts'

const bytesOf = (base64: string) => Buffer.from(base64, 'base64')
const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64')

function one(ion: string | Uint8Array): Ion {
  const [read] = readIon(typeof ion === 'string' ? Buffer.from(ion) : ion)
  if (read === undefined) throw new Error('There is no value')
  return read.value
}

/** Ion text of any value that JSON or Ion's own types can be. */
const ionText: fc.Arbitrary<string> = fc.letrec<{ value: string; plain: string }>((tie) => ({
  value: fc.oneof(
    { weight: 5, arbitrary: tie('plain') },
    { weight: 1, arbitrary: tie('plain').map((text) => `'a b'::unit::${text}`) },
  ),
  plain: fc.oneof(
    { depthSize: 'small' },
    fc.constantFrom(
      'null',
      'null.struct',
      'null.timestamp',
      'null.list',
      'true',
      'false',
      '{}',
      '[]',
      '()',
      'nan',
      '-inf',
    ),
    fc.bigInt().map(String),
    fc.tuple(fc.bigInt(), fc.integer({ min: -40, max: 40 })).map(([digits, exponent]) => `${digits}d${exponent}`),
    fc
      .double({ noNaN: true, noDefaultInfinity: true })
      .map((number) => `${Object.is(number, -0) ? '-0' : number}`.replace(/e|$/, 'e').replace(/e$/, 'e0')),
    fc.string({ unit: 'binary' }).map((text) => JSON.stringify(text)),
    fc.stringMatching(/^[a-z $]+$/).map((text) => `'${text}'`),
    fc.uint8Array().map((bytes) => `{{${base64(bytes)}}}`),
    fc.stringMatching(/^[a-z ]*$/).map((text) => `{{"${text}"}}`),
    fc
      .date({ min: new Date('0002-01-01'), max: new Date('9998-12-31'), noInvalidDate: true })
      .chain((date) =>
        fc.constantFrom(
          date.toISOString(),
          date.toISOString().replace(/\.\d+Z/, '.120000+05:30'),
          date.toISOString().replace(/\.\d+Z/, '.000-00:00'),
          date.toISOString().replace(/:\d+\.\d+Z/, 'Z'),
          date.toISOString().slice(0, 10),
          `${date.toISOString().slice(0, 7)}T`,
        ),
      ),
    fc.array(tie('value'), { maxLength: 4 }).map((items) => `[${items}]`),
    fc.array(tie('value'), { maxLength: 4 }).map((items) => `(${items.join(' ')})`),
    fc
      .array(fc.tuple(fc.string({ unit: 'grapheme' }), tie('value')), { maxLength: 4 })
      .map((fields) => `{${fields.map(([name, value]) => `${JSON.stringify(name)}:${value}`)}}`),
  ),
})).value

describe('the Ion hash', () => {
  test('is that of Amazon for every value, and the same of its text and of its binary', () => {
    fc.assert(
      fc.property(ionText, (text) => {
        const expected = base64(amazons(text))
        expect(base64(ionHash(one(text)))).toBe(expected)
        expect(base64(ionHash(one(binaryOf(text))))).toBe(expected)
      }),
      { numRuns: 2_000 },
    )
  })

  test.each([
    [
      '{VIN:"1N4AL11D75C109151",LicensePlateNumber:"LEWISR261LL",State:"WA",PendingPenaltyTicketAmount:90.25,ValidFromDate:2017-08-21,ValidToDate:2020-05-11,Owners:{PrimaryOwner:{PersonId:"BFJKdXhnLRT27sXBnojNGW"},SecondaryOwners:[{PersonId:"CMVdR77XP8zAglmmFDGTvt"}]},City:"Everett"}',
      '{id:"JUJgkIcNbhS2goq8RqLuZ4",version:3,txTime:2019-09-16T19:37:05.344Z,txId:"FnQeJBAicTX0Ah32ZnVtSX"}',
      'mHVex/yjHAWjFPpwhBuH2GKXmKJjK2FBa9faqoUVNtg=',
    ],
    [
      '{accountId:"user1",balance:3000,txAmount:500,txFrom:null,txTo:"user1",txType:"DEPOSIT",txRequestId:"req5"}',
      '{id:"59NbC9MoyMw4vsTsoNROxX",version:15,txTime:2023-09-25T06:34:30.619Z,txId:"0007t6JMyzMK2LEscgWJ28"}',
      'j5yn00sQj4clTrEN4vka5BrbVjQ+v41wBSqjj9AFveA=',
    ],
    [
      '{dealId:"108569",vin:"4S3BMBC62C3013571",vehicle:{id:"KGDuWFM2WypBURpRFRywrR"},status:"scanned"}',
      '{id:"9cAroezvMXQGBcAeWjt9T0",version:2,txTime:2020-03-26T18:11:07.407Z,txId:"InjUdGnCHzo0aokwpzFmPe"}',
      '1UTehcLFWqQMb8FvE3KU9O8Fsx83PmVFi7fo5HOQBLM=',
    ],
  ])('of data and metadata make the hash that QLDB gave a revision: %.40s…', (data, metadata, hash) => {
    expect(base64(dot(ionHash(one(data)), ionHash(one(metadata))))).toBe(hash)
    expect(base64(dot(ionHash(one(binaryOf(metadata))), ionHash(one(binaryOf(data)))))).toBe(hash)
  })
})

test('the hashes that QLDB gave a block follow from its entries and from the block before', () => {
  const entries = [
    'LmcGQjLlfScQQxbzaoglEpXpeN9bp7I/QUk690ncEpk=',
    'vJFOcsNRM14gsIBSEnwPhMVgRAWf/4EUW5gPYbtmDv0=',
    'KXJrG8t/KePERHasyztlv4kZPol4Q2buhWmy7iJrsiY=',
    'Lz3XWBwtWyBA/Lhj+UoLhbajPQ8Mk9N4j0HJlrm2OTg=',
  ]
  const entriesHash = rootOf(entries.map(bytesOf))
  expect(base64(entriesHash)).toBe('RNGQGcOKCGLCo5S+hs1eboanNrocIzRiqzzq1s99G/Q=')
  const previous = bytesOf('pV28aszpqJH9LOO9oMsACDmXfdzdEW7HYxzuQVIjSDU=')
  expect(base64(dot(entriesHash, previous))).toBe('lu425dAWsmvzxuNHTbn4ID4mLo0bWKkjLP2Uel4wrPQ=')
  const lines = [
    "    'FirstName' : 'Testing new 600'",
    "    'LastName' : 'Lewis'",
    "    'DOB' : `1963-08-19T`",
    "    'GovId' : 'LEWISR261LL'",
    "    'GovIdType' : 'Driver License'",
    "    'Address' : '1719 University Street, Seattle, WA, 98109'",
  ]
  const statement = JSON.stringify(`INSERT INTO Person <<\n{\n${lines.join(',\n')}\n}\n>>`)
  const digest = 't5wbRW+wIi/X0n3iPhFJtbt2qpzzgWkOXIFC4xJHp4o='
  expect(base64(ionHash(one(statement)))).toBe(digest)
  const transactionInfo = `{statements:[{statement:${statement},startTime:2019-12-11T07:20:51.223Z,statementDigest:{{${digest}}}}],documents:{D35qd3e2prnJYmtKW6kok1:{tableName:"Person",tableId:"1SUXCa3wwV0GD7kV78RbSg",statements:[0]}}}`
  expect(base64(ionHash(one(transactionInfo)))).toBe(entries[3])
})
