/** What is about subjects is encrypted and read as before, wherever it is; a subject that was forgotten is read nowhere. */
import assert from 'node:assert/strict'
import { masterKeyOf } from '../../core/master-key.ts'
import { newLedgerKeys, signerOf } from '../../core/note.ts'
import { projection } from '../../core/projection.ts'
import { checkProof } from '../../core/proof.ts'
import type { EmbeddedStore, Store } from '../../core/store.ts'
import type { Subjects } from '../../core/subject.ts'
import { cases, type OpenObjects } from '../kit.ts'
import type { OpenEmbedded } from './archiving.ts'
import { collect, positionOf } from './kit.ts'

const [first, second] = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)]
const encryption = { masterKey: masterKeyOf([first]) }
const subjects: Subjects = {
  streams: { guest: {}, letter: { subject: 'guest/{id}' } },
  events: { Booked: { subject: 'guest/{/guest}', fields: ['/name'], mask: '?' } },
}
const { signerKey, verifierKey } = newLedgerKeys('conformance.example/log')
const signer = signerOf(signerKey)
const reasonCode = 'gdpr-art-17'
const stays = projection<{ type: 'Booked'; data: { name: string } }, { names: readonly string[] }>()({
  ...{ name: 'stays', lifecycle: 'async', streamTypes: ['hotel'] },
  on: { Booked: (view, { data }) => ({ names: [...(view?.names ?? []), data.name] }) },
})
const booked = (guest: number, name: string) => ({ type: 'Booked', data: { guest, name, nights: 2 } })
const namesIn = async (store: Store, stream: string) =>
  (await collect(store.read(stream))).map(({ data }) => (data as { name: string }).name)

export const encrypting = (open: OpenEmbedded, openObjects: OpenObjects) =>
  cases(open, {
    'Encrypted events are read as they were recorded, by stream and log, and proven; without the key they are not':
      async (open) => {
        const store = await open({ subjects, encryption })
        await store.append('guest/1', [{ type: 'Visited', data: { place: 'Käln "1"' } }, { type: 'Left' }])
        await store.append('hotel/1', [booked(1, 'Ann'), { type: 'Opened' }])
        await positionOf(store, 'hotel/1')
        const other = await open({ encryption })
        assert.deepEqual(
          (await collect(other.read('guest/1'))).map(({ data }) => data),
          [{ place: 'Käln "1"' }, null],
        )
        const entries = await collect(store.readLog({ types: ['Booked'] }))
        assert.deepEqual(
          entries.map((entry) => !entry.forgotten && entry.data),
          [booked(1, 'Ann').data],
        )
        assert.equal((await store.ledger.verify()).fault, undefined)
        const without = await open({})
        await assert.rejects(collect(without.read('hotel/1')), { code: 'master-key-missing' })
        assert.equal((await without.details('hotel/1'))?.revision, 2)
        assert.equal((await without.ledger.verify()).fault, undefined)
        const wrong = { masterKey: masterKeyOf([second]) }
        await assert.rejects(open({ encryption: wrong }), { code: 'master-key-wrong' })
      },

    'An encrypted append again is a repeat, from any process and out of the archive; other content is an error': async (
      open,
    ) => {
      const archive = {
        objects: await openObjects({ name: crypto.randomUUID() }),
        retention: { hotel: { keepDays: 0 } },
      }
      const store = await open({ subjects, encryption, archive })
      const other = await open({ encryption, archive })
      const appends = [
        { stream: 'guest/1', events: [{ id: 'a', type: 'Visited', data: 'x' }], expected: 0 as const },
        {
          stream: 'hotel/1',
          events: [
            { ...booked(1, 'Ann'), id: 'b' },
            { id: 'c', type: 'Opened' },
          ],
          expected: 0 as const,
        },
      ]
      const recorded = (await store.appendMany(appends)).map(({ stream, revision }) => [stream, revision])
      const again = async () => {
        const answers = await other.appendMany(appends)
        assert.deepEqual(
          answers.map(({ stream, revision }) => [stream, revision]),
          recorded,
        )
        assert.ok(answers.every(({ repeated }) => repeated))
        const otherwise = [
          { ...booked(1, 'Bo'), id: 'b' },
          { id: 'c', type: 'Opened' },
        ]
        await assert.rejects(other.append('hotel/1', otherwise, { expected: 0 }), { code: 'event-id-reused' })
      }
      await again()
      await positionOf(store, 'hotel/1')
      assert.deepEqual(
        (await store.archive.run()).map(({ events }) => events),
        [2],
      )
      await again()
      await store.forget({ subject: 'guest/1', reasonCode })
      const hotel = appends.slice(1)
      assert.ok((await other.appendMany(hotel)).every(({ repeated }) => repeated))
    },

    'A forgotten subject takes its own streams along, is masked in others, and is refused from then on': async (
      open,
    ) => {
      const store = await open({ subjects, encryption, projections: [stays] })
      const other = await open({ subjects, encryption })
      const all = [1, 2, 3, 4].map((guest) => store.append(`hotel/${guest % 2}`, [booked(guest % 2, `G${guest}`)]))
      await Promise.all([
        ...all,
        other.append('hotel/3', [booked(1, 'G5')]),
        other.append('letter/1', [{ type: 'Sent', data: 1 }]),
      ])
      await store.projections.rebuild('stays')
      assert.deepEqual((await namesIn(other, 'hotel/1')).toSorted(), ['G1', 'G3'])
      const report = await store.forget({ subject: 'guest/1', reasonCode })
      assert.deepEqual(await namesIn(other, 'hotel/1'), ['?', '?'])
      assert.deepEqual(await store.views.get(stays, '1'), { names: ['?', '?'] })
      assert.deepEqual(await store.views.get(stays, '3'), { names: ['?'] })
      assert.deepEqual([report.key, report.streams, report.events, report.masked], ['destroyed', 1, 1, 2])
      assert.deepEqual(await store.forget({ subject: 'guest/1', reasonCode }), report)
      assert.deepEqual(await namesIn(store, 'hotel/1'), ['?', '?'])
      assert.deepEqual((await namesIn(store, 'hotel/0')).toSorted(), ['G2', 'G4'])
      assert.equal((await store.details('letter/1'))?.forgotten, true)
      await assert.rejects(other.append('hotel/9', [booked(1, 'G9')]), { code: 'subject-forgotten' })
      assert.equal((await other.append('hotel/9', [booked(2, 'G9')])).revision, 1)
      await positionOf(store, 'hotel/9')
      assert.equal((await store.ledger.verify()).fault, undefined)
    },

    'What is encrypted is proven with its key, and all but that without one, and once its subject is forgotten': async (
      open,
    ) => {
      const store = await open({ subjects, encryption, ledger: { signer } })
      await store.append('hotel/1', [booked(1, 'Ann'), booked(2, 'Bo')])
      await positionOf(store, 'hotel/1')
      await store.ledger.seal()
      const provenBy = async (prover: Store) => {
        const proofs = await collect(prover.ledger.history('hotel/1'))
        return proofs.map((proof) => {
          const { proven, event } = checkProof(proof, [verifierKey])
          return [proven, (event?.data as { name: string } | undefined)?.name]
        })
      }
      const [ann, bo] = [
        ['content', 'Ann'],
        ['content', 'Bo'],
      ]
      assert.deepEqual(await provenBy(store), [ann, bo])
      assert.deepEqual(await provenBy(await open({})), [
        ['masked', '?'],
        ['masked', '?'],
      ])
      await store.forget({ subject: 'guest/1', reasonCode })
      assert.deepEqual(await provenBy(store), [['masked', '?'], bo])
      const { fault, encrypted } = await store.ledger.verify()
      assert.deepEqual([fault, encrypted], [undefined, 1])
    },

    'After the master key is rotated everything is read by the new one alone': async (open) => {
      const store = await open({ subjects, encryption })
      for (const guest of [1, 2, 3]) await store.append('hotel/1', [booked(guest, `G${guest}`)])
      const both: EmbeddedStore = await open({ encryption: { masterKey: masterKeyOf([second, first]) } })
      assert.equal((await both.encryption.rotate()).rotated, 3)
      await both.append('hotel/1', [booked(1, 'G4')])
      const fresh = await open({ encryption: { masterKey: masterKeyOf([second]) } })
      assert.deepEqual(await namesIn(fresh, 'hotel/1'), ['G1', 'G2', 'G3', 'G4'])
      assert.deepEqual(
        (await fresh.encryption.status()).keys.map(({ subjects }) => subjects),
        [3],
      )
      await assert.rejects(open({ encryption }), { code: 'master-key-wrong' })
    },
  })
