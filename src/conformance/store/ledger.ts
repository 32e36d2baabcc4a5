/** The ledger: digests, proofs of every event whatever became of it, and that the log is what was signed. */
import assert from 'node:assert/strict'
import { openDigest } from '../../core/digest.ts'
import { limits } from '../../core/limits.ts'
import { newLedgerKeys, signerOf } from '../../core/note.ts'
import { checkConsistency, checkProof } from '../../core/proof.ts'
import type { Store } from '../../core/store.ts'
import { leavesOf, parseEntries, tileBytes } from '../../core/tile.ts'
import type { VerifyReport } from '../../core/verify.ts'
import { cases, range } from '../kit.ts'
import { collect, fill, type OpenStore, positionOf, until } from './kit.ts'

const { signerKey, verifierKey } = newLedgerKeys('conformance.example/log')
const signer = signerOf(signerKey)
const ledger = { signer }
const keys = [verifierKey]

/** Seals until the stream's newest event is covered: on some storages positions come later. */
async function sealed(store: Store, stream: string) {
  const position = await positionOf(store, stream)
  const digest = await store.ledger.seal()
  assert.ok(digest.size >= position)
  return digest
}

function clean({ fault }: VerifyReport): false {
  assert.equal(fault, undefined)
  return false
}

const reserve = (count: number, from = 1) =>
  range(from, from + count - 1).map((seat) => ({ type: 'Reserved', tags: ['ann'], data: { seat } }))

export const ledgering = (open: OpenStore) =>
  cases(open, {
    'A digest covers all that the log held when it was signed, and is that of another store of the same log': async (
      open,
    ) => {
      const store = await open({ ledger })
      assert.equal(await store.ledger.digest(), undefined)
      assert.equal((await store.ledger.seal()).size, 0)
      await fill(store, ['seat/1', 'seat/2'], 3)
      await positionOf(store, 'seat/1')
      const digest = await sealed(store, 'seat/2')
      assert.equal(digest.size, 6)
      const opened = openDigest(digest.checkpoint, keys)
      assert.deepEqual([opened.origin, opened.size, opened.root], ['conformance.example/log', 6, digest.root])
      // With nothing new there is no new digest.
      assert.deepEqual(await store.ledger.seal(), digest)
      for (const other of [store, await open(), await open({ readOnly: true, ledger: { verifierKeys: keys } })]) {
        assert.deepEqual(await other.ledger.digest(), digest)
      }
      await assert.rejects((await open()).ledger.seal(), { code: 'unsupported', ability: 'ledger' })
      await assert.rejects((await open({ readOnly: true, ledger })).ledger.seal(), { code: 'store-read-only' })
    },

    'Every event is proven by its place in the stream or in the log, to whoever has the key and nothing else': async (
      open,
    ) => {
      const store = await open({ ledger })
      await store.append('seat/1', reserve(3))
      const { checkpoint } = await sealed(store, 'seat/1')
      for (const [at, event] of (await collect(store.read('seat/1'))).entries()) {
        const { stream, revision, id, type, tags, data, meta, time } = event
        const proof = await store.ledger.prove({ stream, revision })
        assert.deepEqual(await store.ledger.prove({ position: event.position ?? 0 }), proof)
        assert.equal(proof.checkpoint, checkpoint)
        const checked = checkProof(JSON.parse(JSON.stringify(proof)), keys)
        assert.deepEqual([checked.proven, checked.position, checked.time], ['content', at + 1, time])
        assert.deepEqual(checked.event, { id, type, tags, data, meta })
      }
    },

    'What no digest covers is not proven: an event that is not sealed, is not there, or is beyond the log': async (
      open,
    ) => {
      const store = await open({ ledger })
      await store.append('seat/1', reserve(1))
      await positionOf(store, 'seat/1')
      await assert.rejects(store.ledger.prove({ position: 1 }), { code: 'not-sealed', size: 0 })
      await sealed(store, 'seat/1')
      await store.append('seat/1', reserve(1, 2))
      await positionOf(store, 'seat/1')
      await assert.rejects(store.ledger.prove({ stream: 'seat/1', revision: 2 }), {
        code: 'not-sealed',
        position: 2,
        size: 1,
      })
      await assert.rejects(store.ledger.prove({ stream: 'seat/1', revision: 3 }), {
        code: 'invalid-argument',
        path: 'event.revision',
      })
      await assert.rejects(store.ledger.prove({ stream: 'seat/9', revision: 1 }), { code: 'stream-not-found' })
      await assert.rejects(store.ledger.prove({ position: 0 }), { code: 'invalid-argument', path: 'event.position' })
      await sealed(store, 'seat/1')
      assert.equal((await store.ledger.prove({ stream: 'seat/1', revision: 2 })).position, 2)
    },

    'A digest that was kept stays provable: every later one extends it, and events are proven against it': async (
      open,
    ) => {
      const store = await open({ ledger })
      const digests = []
      for (const count of [1, 2, 4, 300, 1]) {
        await store.append('seat/1', reserve(count))
        digests.push(await sealed(store, 'seat/1'))
      }
      const last = digests.at(-1)
      assert.equal(last?.size, 308)
      for (const digest of digests) {
        const proof = await store.ledger.proveConsistency(digest.size)
        checkConsistency(proof, { from: digest.checkpoint, to: last.checkpoint }, keys)
        for (const position of [1, digest.size]) {
          const { checkpoint } = digest
          const checked = checkProof(await store.ledger.prove({ position }, { checkpoint }), keys)
          assert.equal(checked.digest.size, digest.size)
        }
      }
      const [first, second] = digests
      checkConsistency(
        await store.ledger.proveConsistency(1, 3),
        { from: first?.checkpoint ?? '', to: second?.checkpoint ?? '' },
        keys,
      )
      await assert.rejects(store.ledger.proveConsistency(0), { code: 'invalid-argument', path: 'from' })
      await assert.rejects(store.ledger.proveConsistency(309), { code: 'invalid-argument', path: 'from' })
      await assert.rejects(store.ledger.proveConsistency(1, 309), { code: 'not-sealed', position: 309, size: 308 })
    },

    "A digest of another log, or by a key that is not the log's, proves nothing here": async (open) => {
      const store = await open({ ledger })
      await store.append('seat/1', reserve(2))
      await sealed(store, 'seat/1')
      const other = await open({ name: `other-${crypto.randomUUID()}`, ledger })
      await other.append('seat/1', reserve(2))
      const { checkpoint } = await sealed(other, 'seat/1')
      await assert.rejects(store.ledger.prove({ position: 1 }, { checkpoint }), { code: 'proof-invalid', part: 'path' })
      const { verifierKey: foreign } = newLedgerKeys('conformance.example/log')
      const reader = await open({ ledger: { verifierKeys: [foreign] } })
      await assert.rejects(reader.ledger.prove({ position: 1 }), { code: 'proof-invalid', part: 'signature' })
      await assert.rejects(reader.ledger.digest(), { code: 'proof-invalid', part: 'signature' })
    },

    "A forgotten stream's history is still proven, entry by entry, and its tombstone whole": async (open) => {
      const store = await open({ ledger })
      await store.append('person/1', reserve(2))
      await store.append('seat/1', reserve(1))
      await store.append('person/1', reserve(1, 3))
      await positionOf(store, 'seat/1')
      const before = await sealed(store, 'person/1')
      const proofs = await collect(store.ledger.history('person/1'))
      assert.deepEqual(
        proofs.map(({ revision }) => revision),
        [1, 2, 3],
      )
      await store.forget('person/1', { reasonCode: 'asked' })
      const after = await sealed(store, 'person/1')
      const forgotten = await collect(store.ledger.history('person/1'))
      assert.deepEqual(
        forgotten.map((proof) => checkProof(proof, keys).proven),
        ['entry', 'entry', 'entry', 'content'],
      )
      assert.deepEqual(
        forgotten.map(({ state }) => state),
        ['forgotten', 'forgotten', 'forgotten', 'tombstone'],
      )
      // The leaf is the same, so that whoever has kept the event can still show that it was so.
      assert.deepEqual(
        forgotten.slice(0, 3).map(({ entry }) => entry),
        proofs.map(({ entry }) => entry),
      )
      assert.ok(proofs.every((proof) => checkProof(proof, keys).event))
      checkConsistency(
        await store.ledger.proveConsistency(before.size),
        { from: before.checkpoint, to: after.checkpoint },
        keys,
      )
      await assert.rejects(collect(store.ledger.history('person/9')), { code: 'stream-not-found' })
    },

    'A log of thousands of events is sealed in steps, and any of them is proven from a few tiles': async (open) => {
      const store = await open({ ledger })
      const events = 2 * limits.sealTiles * 256 + 300
      for (let from = 1; from <= events; from += 1_000) {
        await store.append('seat/1', reserve(Math.min(1_000, events - from + 1), from))
      }
      const { size } = await sealed(store, 'seat/1')
      assert.equal(size, events)
      for (const position of [1, 256, 257, 4_096, 4_097, 8_192, 8_193, events - 44, events]) {
        const proof = await store.ledger.prove({ position })
        assert.equal(checkProof(proof, keys).event?.data !== undefined && proof.revision, position)
      }
      const tile = await store.ledger.tile('tile/0/031')
      assert.equal(tile?.length, tileBytes)
      const entries = parseEntries((await store.ledger.tile('tile/entries/031')) ?? new Uint8Array())
      assert.deepEqual(leavesOf(entries), tile)
      const partial = await store.ledger.tile('tile/entries/033.p/44')
      assert.deepEqual(leavesOf(parseEntries(partial ?? new Uint8Array())), await store.ledger.tile('tile/0/033.p/44'))
      assert.equal((await store.ledger.tile('tile/1/000.p/33'))?.length, 33 * 32)
      for (const path of [
        'tile/0/033',
        'tile/0/033.p/45',
        'tile/1/000',
        'tile/1/000.p/34',
        'tile/2/000.p/1',
        'tile/entries/034',
      ]) {
        assert.equal(await store.ledger.tile(path), undefined, path)
      }
      await assert.rejects(store.ledger.tile('tile/0/33'), { code: 'invalid-argument', path: 'path' })
    },

    'Several processes that seal at once come to one tree': async (open) => {
      const stores = await Promise.all([1, 2, 3].map(() => open({ ledger })))
      const [store] = stores
      assert.ok(store)
      for (let round = 1; round <= 3; round++) {
        await store.append('seat/1', reserve(300))
        await positionOf(store, 'seat/1')
        const digests = await Promise.all(stores.map((each) => each.ledger.seal()))
        assert.deepEqual(
          digests.map(({ size }) => size),
          [300 * round, 300 * round, 300 * round],
        )
        assert.equal(new Set(digests.map(({ root }) => root)).size, 1)
        assert.equal(checkProof(await store.ledger.prove({ position: 300 * round }), keys).proven, 'content')
      }
    },

    'Workers seal by themselves, again and again': async (open) => {
      const store = await open({ ledger: { signer, everyMs: 20 } })
      store.jobs.work({})
      for (const count of [1, 2]) {
        await store.append('seat/1', reserve(1, count))
        await until(async () => (await store.ledger.digest())?.size === count)
      }
      // A list goes from state to state, and may miss a job that does so meanwhile; there is never a second one.
      await until(async () => {
        const { jobs } = await store.jobs.list({ kind: '$seal' })
        assert.ok(jobs.length <= 1)
        return jobs.length === 1
      })
    },

    'A key that takes the place of another goes on with the tree; without the old key the digest is not taken': async (
      open,
    ) => {
      const store = await open({ ledger })
      await store.append('seat/1', reserve(2))
      const before = await sealed(store, 'seat/1')
      const next = newLedgerKeys('conformance.example/log')
      const alone = await open({ ledger: { signer: signerOf(next.signerKey) } })
      await assert.rejects(alone.ledger.seal(), { code: 'proof-invalid', part: 'signature' })
      const rotated = await open({ ledger: { signer: signerOf(next.signerKey), verifierKeys: keys } })
      const after = await rotated.ledger.seal()
      assert.deepEqual([after.size, after.root], [before.size, before.root])
      assert.equal(openDigest(after.checkpoint, [next.verifierKey]).size, 2)
      assert.deepEqual(await alone.ledger.digest(), after)
    },

    'A log that nobody has changed is verified whole, whatever was forgotten or is written meanwhile': async (open) => {
      const store = await open({ ledger })
      assert.equal((await store.ledger.verify()).fault, undefined)
      for (const person of range(1, 6)) await store.append(`person/${person}`, reserve(100))
      for (const person of [1, 3]) await store.forget(`person/${person}`, { reasonCode: 'asked' })
      await positionOf(store, 'person/6')
      const digest = await sealed(store, 'person/3')
      const kept = digest.checkpoint
      await store.append('seat/1', reserve(5))
      await positionOf(store, 'seat/1')
      const report = await store.ledger.verify({ checkpoint: kept })
      assert.deepEqual([report.fault, report.verified, report.head, report.signed], [undefined, 607, 607, true])
      assert.deepEqual(report.events, { stored: 405, trimmed: 0, forgotten: 200, tombstone: 2 })
      assert.deepEqual([report.streams, report.digest?.size, report.checkpoint?.size], [7, 602, 602])
      const writing = (async () => {
        for (const person of [2, 4, 5]) {
          await store.append('seat/2', reserve(50))
          await store.forget(`person/${person}`, { reasonCode: 'asked' })
          await store.ledger.seal()
        }
      })()
      for (let done = false; !done; ) {
        done = await Promise.race([writing.then(() => true), store.ledger.verify({ checkpoint: kept }).then(clean)])
      }
      await positionOf(store, 'person/5')
      await sealed(store, 'seat/2')
      const seen: number[] = []
      const onProgress = ({ position }: { readonly position: number }) => seen.push(position)
      assert.equal((await store.ledger.verify({ checkpoint: kept, onProgress })).fault, undefined)
      assert.deepEqual(seen, [760])
      const reader = await open({ readOnly: true })
      assert.deepEqual(
        [(await reader.ledger.verify()).fault, (await reader.ledger.verify()).signed],
        [undefined, false],
      )
    },

    'Verifying refuses a checkpoint that proves nothing, and ends when it is told to': async (open) => {
      const store = await open({ ledger })
      await store.append('seat/1', reserve(2))
      const { checkpoint } = await sealed(store, 'seat/1')
      await assert.rejects(store.ledger.verify({ checkpoint: 'none' }), { code: 'invalid-argument' })
      const forged = checkpoint.replace('\n2\n', '\n1\n')
      await assert.rejects(store.ledger.verify({ checkpoint: forged }), { code: 'proof-invalid', part: 'signature' })
      await assert.rejects(store.ledger.verify({ parallel: 0 }), { code: 'invalid-argument', path: 'parallel' })
      await assert.rejects(store.ledger.verify({ signal: AbortSignal.abort() }), { name: 'AbortError' })
    },

    'A digest that the log does not begin with is found, be it longer than the log or of another one': async (open) => {
      const store = await open({ ledger })
      await store.append('seat/1', reserve(3))
      await sealed(store, 'seat/1')
      const other = await open({ name: `other-${crypto.randomUUID()}`, ledger })
      await other.append('seat/1', reserve(3))
      const forked = await sealed(other, 'seat/1')
      await other.append('seat/1', reserve(2, 4))
      const longer = await sealed(other, 'seat/1')
      const found = (await store.ledger.verify({ checkpoint: forked.checkpoint })).fault
      assert.deepEqual([found?.kind, found?.position, found?.until], ['digest', 1, 3])
      const cut = (await store.ledger.verify({ checkpoint: longer.checkpoint })).fault
      assert.deepEqual([cut?.kind, cut?.position, cut?.until], ['truncated', 4, 5])
    },
  })
