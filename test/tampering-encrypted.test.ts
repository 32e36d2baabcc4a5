/** What is encrypted is as much proven as what is plain: with its key, without any, and once its subject is forgotten. */
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { checkProof, masterKeyOf, newLedgerKeys, openStore, type Subjects, signerOf } from '../src/index.ts'
import { folderObjects } from '../src/objects/folder.ts'
import { sqliteStorage } from '../src/storage/sqlite/storage.ts'
import { flip } from './flip.ts'

const folder = mkdtempSync(join(tmpdir(), 'daybook-tampering-encrypted-'))
const original = join(folder, 'original.db')
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const { signerKey, verifierKey } = newLedgerKeys('tampering.example/log')
const signer = signerOf(signerKey)
const masterKey = masterKeyOf([new Uint8Array(32).fill(7)])
const subjects: Subjects = {
  events: {
    Booked: [
      { subject: 'patient/{/patient}', fields: ['/name'], mask: '(forgotten)' },
      { subject: 'doctor/{/doctor}', fields: ['/notes'] },
    ],
  },
}
const rounds = 20
const archive = { objects: folderObjects(join(folder, 'archive')), retention: { day: { keepEvents: rounds } } }

/** Each event is of two subjects; `patient/2` is forgotten, and the first ones are in the archive. */
beforeAll(async () => {
  const storage = await sqliteStorage({ file: original })
  await using store = await openStore(storage, { subjects, encryption: { masterKey }, ledger: { signer }, archive })
  for (let round = 1; round <= 2 * rounds; round++) {
    const data = { patient: 1 + (round % 3), doctor: 1 + (round % 2), name: `Ann ${round}`, notes: 'cough', at: round }
    await store.append('day/1', [{ type: 'Booked', data }])
  }
  await store.ledger.seal()
  await store.archive.run()
  await store.forget({ subject: 'patient/2', reasonCode: 'asked' })
  await store.ledger.seal()
})

let copies = 0
type With = 'key' | 'no key'

async function verified(change: (db: DatabaseSync) => void, withKey: With) {
  const file = join(folder, `copy-${++copies}.db`)
  copyFileSync(original, file)
  try {
    const db = new DatabaseSync(file)
    change(db)
    db.close()
    await using store = await opened(file, withKey)
    return await store.ledger.verify()
  } finally {
    rmSync(file, { force: true })
  }
}

async function opened(file: string, withKey: With) {
  const options = { readOnly: true, ledger: { verifierKeys: [verifierKey] }, archive } as const
  return openStore(await sqliteStorage({ file, readOnly: true }), {
    ...options,
    ...(withKey === 'key' && { encryption: { masterKey } }),
  })
}

interface Row {
  readonly position: number
  readonly content: string | null
}

function rows(): readonly Row[] {
  const db = new DatabaseSync(original, { readOnly: true })
  const all = db
    .prepare("SELECT position, content FROM log WHERE state = 0 AND content LIKE '%Booked%' ORDER BY position")
    .all()
  db.close()
  return all as unknown as readonly Row[]
}

describe.each(['key', 'no key'] as const)('with %s', (withKey) => {
  test('what nobody has changed is found right, and what was not decrypted is counted', async () => {
    const { fault, events, unread, encrypted } = await verified(() => {}, withKey)
    expect(fault).toBeUndefined()
    expect([events.stored, events.trimmed, unread]).toEqual([rounds + 1, rounds, 0])
    // One of three patients is forgotten.
    expect(encrypted).toBe(withKey === 'key' ? 14 : 2 * rounds)
  })

  test('a bit that is flipped in what is stored is found, masked or not', async () => {
    const all = rows()
    await fc.assert(
      fc.asyncProperty(
        fc.nat(),
        fc.constantFrom('content', 'salt', 'commitment'),
        fc.nat(),
        async (which, column, bit) => {
          const { position } = all[which % all.length] as Row
          const { fault } = await verified((db) => flip(db, { column, position, bit }), withKey)
          expect(fault?.position).toBe(position)
        },
      ),
      { numRuns: 60, endOnFailure: true },
    )
  })

  test('neither the plain rest of what is masked, nor that it was encrypted, can be changed', async () => {
    const { position, content } = rows().find(({ content }) => content?.includes('(forgotten)')) as Row
    for (const changed of [
      content?.replace(/"at":\d+/, '"at":99'),
      content?.replace('(forgotten)', '(never was)'),
      content?.replace(/,\[\[.*$/, ']'),
      content?.replace(/\["[0-9a-f-]{36}","[^"]+",\[[\d,]+\]\],?/, '').replace(',[]', ''),
    ]) {
      expect(changed).not.toBe(content)
      const { fault } = await verified(
        (db) => db.prepare('UPDATE log SET content = ? WHERE position = ?').run(changed ?? '', position),
        withKey,
      )
      expect(fault, changed).toMatchObject({ kind: 'content', position })
    }
  })

  test('a proof shows what is left of a masked event; with its key, all of another', async () => {
    await using store = await opened(original, withKey)
    const shown: unknown[] = []
    for (const { position } of rows().slice(0, 3)) {
      const proof = JSON.parse(JSON.stringify(await store.ledger.prove({ position })))
      const { proven, event } = checkProof(proof, [verifierKey])
      shown.push([proven, JSON.parse(JSON.stringify(event)).data.name])
      const lies = [
        { ...proof, content: proof.content.replace(/"at":\d+/, '"at":99') },
        ...(proof.plain
          ? [{ ...proof, plain: { ...proof.plain, content: proof.plain.content.replace('Ann', 'Bo') } }]
          : []),
      ]
      for (const lie of lies) expect(() => checkProof(lie, [verifierKey])).toThrow('The proof does not hold')
    }
    const hidden = ['masked', '(forgotten)']
    const whole = (round: number) => (withKey === 'key' ? ['content', `Ann ${round}`] : hidden)
    expect(shown).toEqual([whole(21), hidden, whole(23)])
  })
})

test('a key that was exchanged, damaged or taken away is found by whoever has the master key', async () => {
  const of = (subject: string) => `collection = '$subjects' AND body LIKE '%"${subject}"%'`
  const changes: Readonly<Record<string, string>> = {
    exchanged: `UPDATE document SET body = json_set(body, '$.key', (SELECT json_extract(body, '$.key') FROM document
      WHERE ${of('doctor/1')})) WHERE ${of('doctor/2')}`,
    damaged: `UPDATE document SET body = json_set(body, '$.key', 'A' || json_extract(body, '$.key')) WHERE ${of('doctor/2')}`,
    'taken away': `DELETE FROM document WHERE ${of('doctor/2')}`,
  }
  for (const [name, change] of Object.entries(changes)) {
    expect((await verified((db) => db.exec(change), 'key')).fault, name).toMatchObject({ kind: 'content', position: 1 })
    expect((await verified((db) => db.exec(change), 'no key')).fault, name).toBeUndefined()
  }
})
