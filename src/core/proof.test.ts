import { expect, test } from 'vitest'
import { contentOf } from './content.ts'
import { digestOf, signDigest } from './digest.ts'
import { commitmentOf, entryOf, leafOf } from './leaf.ts'
import { newLedgerKeys, signerOf } from './note.ts'
import { checkConsistency, checkProof, consistencyProof, type EventProof, eventProof } from './proof.ts'
import type { LogRecord } from './storage.ts'
import { auditPath, consistencyPath, hashOver, nodeOf, rootOver, type Subtree } from './tree.ts'

const { signerKey, verifierKey } = newLedgerKeys('test.example/log')
const signer = signerOf(signerKey)
const salt = Uint8Array.from({ length: 32 }, (_, index) => index)

const records: readonly (LogRecord & { readonly position: number })[] = Array.from({ length: 11 }, (_, index) => {
  const content = contentOf({ id: `id-${index}`, type: 'Reserved', tags: ['a'], data: { index }, meta: null }, 'event')
  const key = { stream: 'seat/1', revision: index + 1, position: index + 1, time: 1_700_000_000_000 + index }
  const commitment = commitmentOf(salt, content)
  switch (index % 3) {
    case 0:
      return { ...key, state: 'forgotten', evidence: { entry: entryOf({ ...key, commitment }) } }
    case 1:
      return { ...key, state: 'trimmed', id: 'x', type: 'x', tags: [], segment: 's', evidence: { salt, commitment } }
    default:
      return { ...key, state: 'stored', content, evidence: { salt, commitment } }
  }
})
const leaves = records.map(({ evidence = {}, ...record }) =>
  leafOf(evidence.entry ?? entryOf({ ...record, commitment: evidence.commitment ?? salt })),
)
function hashAt({ level, index }: Subtree): Uint8Array {
  if (level === 0) return leaves[index] ?? salt
  return nodeOf(hashAt({ level: level - 1, index: 2 * index }), hashAt({ level: level - 1, index: 2 * index + 1 }))
}
const signed = (size: number) =>
  signDigest(digestOf('test.example/log', { size, root: rootOver(size, hashAt) }), signer)

async function prove(position: number, size = records.length): Promise<EventProof> {
  const path = auditPath(position - 1, size).map((range) => hashOver(range, hashAt))
  const { checkpoint } = await signed(size)
  const [record] = records.slice(position - 1)
  if (record === undefined) throw new Error('There is no such record')
  return JSON.parse(JSON.stringify(eventProof(record, { path, checkpoint })))
}

test('a proof shows the content of an event, the commitment of an archived one, the entry of a forgotten one', async () => {
  const shown = await Promise.all([3, 2, 1].map(async (position) => checkProof(await prove(position), [verifierKey])))
  expect(shown.map(({ proven }) => proven)).toEqual(['content', 'commitment', 'entry'])
  expect(shown[0]).toMatchObject({
    ...{ stream: 'seat/1', revision: 3, position: 3, time: '2023-11-14T22:13:20.002Z' },
    event: { id: 'id-2', type: 'Reserved', tags: ['a'], data: { index: 2 }, meta: null },
    digest: { origin: 'test.example/log', size: 11 },
  })
})

test('a proof of which anything is changed does not hold', async () => {
  const proof = await prove(3)
  const changes: readonly [Partial<EventProof>, object][] = [
    [{ content: proof.content?.replace('"index":2', '"index":3') ?? '' }, { part: 'content' }],
    [{ salt: (await prove(3)).entry }, { part: 'content' }],
    [{ stream: 'seat/2' }, { part: 'entry' }],
    [{ revision: 4 }, { part: 'entry' }],
    [{ time: '2023-11-14T22:13:20.003Z' }, { part: 'entry' }],
    [{ commitment: proof.salt ?? '' }, { part: 'entry' }],
    [{ position: 4 }, { part: 'path' }],
    [{ position: 12 }, { part: 'position' }],
    [{ entry: (await prove(4)).entry }, { part: 'path' }],
    [{ path: (await prove(4)).path }, { part: 'path' }],
    [{ path: proof.path.slice(0, -4) }, { code: 'invalid-argument', path: 'proof.path' }],
    [{ checkpoint: proof.checkpoint.replace('\n11\n', '\n12\n') }, { part: 'signature' }],
    [{ checkpoint: (await signed(8)).checkpoint }, { part: 'path' }],
    [{ time: '2023-11-14T22:13:20.002+00:00' }, { code: 'invalid-argument', path: 'proof.time' }],
    [{ format: 'daybook/proof/2' as 'daybook/proof/1' }, { code: 'invalid-argument', path: 'proof.format' }],
    [{ state: 'lost' as 'stored' }, { code: 'invalid-argument', path: 'proof.state' }],
    [{ position: 0 }, { code: 'invalid-argument', path: 'proof.position' }],
    [{ entry: 'AAAA' }, { code: 'invalid-argument', path: 'proof.entry' }],
  ]
  expect(checkProof(proof, [verifierKey]).proven).toBe('content')
  for (const [change, fault] of changes) {
    let refused: unknown
    try {
      checkProof({ ...proof, ...change }, [verifierKey])
    } catch (error) {
      refused = error
    }
    expect(refused, JSON.stringify(change)).toMatchObject({ code: 'proof-invalid', ...fault })
  }
  const { commitment: _, ...unbound } = proof
  expect(() => checkProof(unbound, [verifierKey])).toThrow('nothing that binds it')
  expect(() => checkProof(proof, [newLedgerKeys('test.example/log').verifierKey])).toThrow('No key that is known')
})

test('consistency of two digests is shown, and nothing else is', async () => {
  for (let from = 1; from <= 11; from++) {
    const path = consistencyPath(from, 11).map((range) => hashOver(range, hashAt))
    const proof = JSON.parse(JSON.stringify(consistencyProof(from, 11, path)))
    const checkpoints = { from: (await signed(from)).checkpoint, to: (await signed(11)).checkpoint }
    checkConsistency(proof, checkpoints, [verifierKey])
    const forked = await signDigest(digestOf('test.example/log', { size: from, root: salt }), signer)
    expect(() => checkConsistency(proof, { ...checkpoints, from: forked.checkpoint }, [verifierKey])).toThrow(
      `The digest of 11 events does not extend the one of ${from}`,
    )
    expect(() => checkConsistency({ ...proof, from: from + 1 }, checkpoints, [verifierKey])).toThrow('the digests of')
  }
})
