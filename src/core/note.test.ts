import { readFileSync } from 'node:fs'
import { hexToBytes } from '@noble/hashes/utils.js'
import { expect, test } from 'vitest'
import { base64Of, bytesOfBase64 } from './base64.ts'
import { digestOf, openDigest, parseDigest, printDigest, readDigest, signDigest } from './digest.ts'
import { newLedgerKeys, openNote, parseNote, printNote, signerOf, signNote, verifierOf } from './note.ts'
import { emptyRoot } from './tree.ts'

/** Made by Go's `sumdb/note`; `fixtures/ledger.go.txt` is the program. */
const fixture = JSON.parse(readFileSync(new URL('fixtures/ledger.json', import.meta.url), 'utf8'))
const keys: readonly { signer: string; verifier: string }[] = fixture.keys
const verifierKeys = keys.map(({ verifier }) => verifier)
const verifiers = verifierKeys.map((key) => verifierOf(key))
const [first = verifierOf('')] = verifiers
const origin = first.name

test('keys are those of Go: the same from the same seed, and their verifier keys follow from them', () => {
  for (const [at, { signer, verifier }] of keys.entries()) {
    const { name } = verifierOf(verifier)
    expect(newLedgerKeys(name, () => hexToBytes(fixture.seeds[at]))).toEqual({
      signerKey: signer,
      verifierKey: verifier,
    })
    expect(signerOf(signer).verifierKey).toBe(verifier)
  }
})

test('notes are those of Go to the byte, with any number of signatures', async () => {
  for (const { text, note, by } of fixture.notes) {
    expect(printNote(parseNote(note))).toBe(note)
    const opened = openNote(note, verifiers)
    expect(opened.text).toBe(text)
    expect(opened.verified.map(({ keyId }) => keyId)).toEqual(by.map((at: number) => verifiers[at]?.keyId))
    if (by.length === 1) expect(await signNote(text, signerOf(keys[0]?.signer ?? ''))).toBe(note)
  }
})

test('one known key is enough; keys that nobody knows are left aside', () => {
  const { text, note } = fixture.notes[1]
  for (const verifier of verifiers)
    expect(openNote(note, [verifier])).toMatchObject({ text, verified: [{ name: verifier.name }] })
  expect(() => openNote(note, [])).toThrow(
    'No key that is known has signed it (known: none; signed by: daybook.example',
  )
})

test('what Go refuses as a note is refused here', () => {
  for (const { note, error } of fixture.badNotes) {
    const code = error === 'malformed note' ? 'invalid-argument' : 'proof-invalid'
    expect(() => openNote(note, [first]), JSON.stringify(note)).toThrow(expect.objectContaining({ code }))
  }
})

test('what Go refuses as a verifier key is refused here, and a signer key is never told', () => {
  for (const key of fixture.badVerifiers) expect(() => verifierOf(key), key).toThrow('verifierKey')
  const secret = keys[0]?.signer ?? ''
  for (const bad of [
    '',
    secret.slice(12),
    secret.slice(0, -4),
    secret.replace('+daybook', '+other'),
    `${secret}AAAA`,
  ]) {
    const refused = catching(() => signerOf(bad))
    expect(refused).toMatchObject({ code: 'invalid-argument', path: 'signerKey' })
    expect(refused.message).not.toContain(secret.slice(-20))
  }
})

test('a note of which any bit of text or signature is flipped is refused', () => {
  const { text, note } = fixture.notes[4]
  const { signatures } = parseNote(note)
  const bytes = new TextEncoder().encode(text)
  for (let bit = 0; bit < bytes.length * 8; bit += 3) {
    const changed = bytes.slice()
    changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    const told = new TextDecoder().decode(changed)
    expect(() => openNote(printNote({ text: told, signatures }), verifiers), told).toThrow()
  }
  const [signature] = signatures
  for (let bit = 0; bit < 64 * 8; bit += 5) {
    const changed = signature?.signature.slice() ?? new Uint8Array()
    changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    const note = printNote({ text, signatures: signatures.map((each) => ({ ...each, signature: changed })) })
    expect(() => openNote(note, verifiers)).toThrow(
      expect.objectContaining({ code: 'proof-invalid', part: 'signature' }),
    )
  }
})

test('a signer whose signatures are not of the key that it names signs nothing', async () => {
  const { verifierKey } = signerOf(keys[0]?.signer ?? '')
  const { sign } = signerOf(keys[2]?.signer ?? '')
  await expect(signNote('text\n', { verifierKey, sign })).rejects.toMatchObject({ code: 'proof-invalid' })
})

test("a witness's cosignature is read with its time, and does not stand for the log's own", () => {
  const { note, verifier, time } = fixture.cosigned
  const opened = openDigest(note, [verifierKeys[0] ?? '', verifier])
  expect(opened).toMatchObject({ origin, size: fixture.large.size, root: fixture.large.root })
  expect(opened.signatures).toMatchObject([{ name: origin }, { name: 'witness.example/w1', cosignedAt: time }])
  expect(() => openDigest(note, [verifier])).toThrow('has not signed its digest')
  const moved = parseNote(note)
  const later = moved.signatures.map((each) => {
    if (each.name === origin) return each
    const signature = each.signature.slice()
    signature[7] = (signature[7] ?? 0) ^ 1
    return { ...each, signature }
  })
  expect(() => openDigest(printNote({ ...moved, signatures: later }), [verifier])).toThrow('does not fit the text')
})

test('a digest is printed, signed and opened; one of Go opens too', async () => {
  const digest = digestOf(origin, { size: 0, root: emptyRoot })
  expect(printDigest(digest)).toBe(`${origin}\n0\n${base64Of(emptyRoot)}\n`)
  const signed = await signDigest(digest, signerOf(keys[0]?.signer ?? ''))
  const { checkpoint } = signed
  expect(readDigest(checkpoint)).toEqual(signed)
  expect(openDigest(checkpoint, verifierKeys)).toEqual({
    ...signed,
    extensions: [],
    signatures: [{ name: origin, keyId: first.keyId }],
  })
  const extended = fixture.notes[6]
  expect(openDigest(extended.note, verifierKeys).extensions).toEqual(['extension 1', 'extension 2'])
  // Of another origin than the key that has signed it.
  expect(() => openDigest(fixture.notes[8].note, verifierKeys)).toThrow('"go.sum database tree" has not signed')
  expect(parseDigest(fixture.notes[8].text)).toMatchObject({ size: fixture.large.size, root: fixture.large.root })
})

test('what is no digest says where', () => {
  const root = base64Of(emptyRoot)
  for (const [text, place] of [
    ['', 'digest'],
    [`${origin}\n1\n${root}`, 'digest'],
    [`\n1\n${root}\n`, 'digest'],
    [`${origin}\n01\n${root}\n`, 'digest, line 2'],
    [`${origin}\n-1\n${root}\n`, 'digest, line 2'],
    [`${origin}\n9007199254740992\n${root}\n`, 'digest, line 2'],
    [`${origin}\n1\n${root.slice(0, -1)}\n`, 'digest, line 3'],
    [`${origin}\n1\nAAAA\n`, 'digest, line 3'],
    [`${origin}\n1\n${root}\n\n`, 'digest'],
  ] as const) {
    expect(
      catching(() => parseDigest(text)),
      text,
    ).toMatchObject({ code: 'invalid-argument', path: place })
  }
  expect(bytesOfBase64(root)).toEqual(emptyRoot)
})

function catching(run: () => unknown): Error {
  try {
    run()
  } catch (error) {
    return error as Error
  }
  throw new Error('Nothing was thrown')
}
