/** What an ad's history was, so that nobody has to believe this server: proofs by the ledger of the store. */
import { type EventProof, isStoreError, type Store } from 'daybook'
import * as z from 'zod/mini'
import { NotThere } from '../web/refused.ts'
import { row } from '../web/route.ts'
import { type AdEvent, adStream } from './domain.ts'
import { paged, pages, placeOf } from './paging.ts'
import { adId } from './publishing.ts'
import { noAd } from './reading.ts'

const many = { usual: 100, most: 1_000 }

/** As `checkProof` of the store takes it. */
const proof = z.looseObject({ format: z.string(), stream: z.string(), revision: z.int(), checkpoint: z.string() })

/** Without the key by which the ledger's digests are verified there is no ledger. */
export function proofRoute(verifierKey: string | undefined) {
  return row({
    method: 'GET',
    path: '/publisher/{publisher}/ad/{adId}/proof',
    operationId: 'proveAd',
    tag: 'ads',
    summary: 'Proofs of all that was recorded of an ad',
    description:
      'One for each version, to be checked without this server by `checkProof` and a verifier key that you keep.',
    query: pages(many),
    answer: {
      schema: z.object({ verifierKey: z.string(), proofs: z.array(proof) }),
      example: {
        verifierKey: 'ads.example/log+5a9f0e21+AbG8…',
        proofs: [
          { format: 'daybook/proof/1', stream: adStream(adId), revision: 1, checkpoint: 'ads.example/log\n1\n…' },
        ],
      },
    },
    refusal: 'A parameter is wrong.',
    missing: 'The publisher has no such ad, or this server keeps no ledger.',
    async handle(asked) {
      if (verifierKey === undefined) {
        throw new NotThere('This server keeps no ledger; start it with DAYBOOK_SIGNER_KEY')
      }
      const { adId = '', publisher } = asked.path
      const { details, events } = await asked.store.readPage<AdEvent>(adStream(adId), { limit: 1 })
      const [first] = events
      // Of one that was erased nobody knows any more whose it was.
      if (!details || (!details.forgotten && first?.data.publisherId !== publisher)) throw noAd(asked)
      const { limit = many.usual, cursor } = asked.query
      const after = placeOf(cursor)
      const wanted = Math.min(limit, details.revision - after)
      const proofs = await prove(asked.store, adStream(adId), { after, wanted })
      const last = after + proofs.length
      return { verifierKey, proofs: paged(asked, proofs, last < details.revision ? String(last) : undefined) }
    },
  })
}

/** What is not in a digest yet is sealed first. Fewer than are wanted, where positions come later than events. */
async function prove(store: Store, stream: string, { after, wanted }: { after: number; wanted: number }) {
  const proofs: EventProof[] = []
  for (let isSealed = false; proofs.length < wanted; ) {
    try {
      proofs.push(await store.ledger.prove({ stream, revision: after + proofs.length + 1 }))
    } catch (error) {
      if (!isStoreError(error, 'not-sealed')) throw error
      if (isSealed) break
      await store.ledger.seal()
      isSealed = true
    }
  }
  return proofs
}
