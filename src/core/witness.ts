/**
 * A witness: a store that keeps the digests of another log, and cosigns each that extends the one before it. Whoever asks for the
 * cosignature knows that he is shown the same log as the witness. What it has seen are events of its own log.
 */

import { checkObject } from './argument.ts'
import { type OpenedDigest, openDigest, readDigest, type SignedDigest } from './digest.ts'
import { InvalidArgument, isStoreError } from './errors.ts'
import type { EventOf } from './event.ts'
import { derivedId } from './id.ts'
import type { Ledger } from './ledger.ts'
import { ProofInvalid } from './ledger-errors.ts'
import { cosignNote, parseNote, type Signer, verifierOf } from './note.ts'
import { checkConsistency } from './proof.ts'
import type { Store } from './store.ts'

export interface WitnessOptions {
  /** Of the log: a store's, or a client's. */
  readonly ledger: Pick<Ledger, 'digest' | 'proveConsistency'>
  /** Of the log. */
  readonly verifierKeys: readonly string[]
  /** Of the witness: `signerOf` of a key that `newWitnessKeys` has made. */
  readonly signer: Signer
  readonly clock?: () => number
}

/** What is in the stream `witness/<origin>`, the origin as a part of an address. */
export type WitnessEvent = EventOf<{
  Cosigned: { size: number; root: string; checkpoint: string }
  ForkSeen: { kept: string; seen: string; reason: string }
}>

/**
 * Cosigns the log's newest digest, once it is proven that it extends the one that was cosigned last; undefined where nothing is
 * sealed yet. Throws `ProofInvalid` for a log that was cut off or rewritten, and records that both were seen, each signed.
 */
export async function witness(
  store: Pick<Store, 'append' | 'readPage'>,
  options: WitnessOptions,
): Promise<SignedDigest | undefined> {
  checkObject(options, 'options')
  const { ledger, verifierKeys, signer, clock = Date.now } = options
  if (verifierKeys.length === 0) throw new InvalidArgument('verifierKeys', 'must hold a key of the log')
  const own = verifierOf(signer.verifierKey, 'signer.verifierKey')
  if (!own.cosigns)
    throw new InvalidArgument('signer', `"${own.name}" is the key of a log; a witness has one of its own`)
  const newest = await ledger.digest()
  if (newest === undefined) return undefined
  const seen = openDigest(newest.checkpoint, verifierKeys)
  const stream = `witness/${encodeURIComponent(seen.origin)}`
  for (;;) {
    const { kept, revision } = await lastCosigned(store, stream)
    if (kept) {
      try {
        await checkGrowth(kept, seen, { ledger, verifierKeys })
      } catch (error) {
        if (!isStoreError(error, 'proof-invalid')) throw error
        const data = { kept: kept.checkpoint, seen: seen.checkpoint, reason: error.message }
        // However often it is asked, a fork is one event.
        const id = derivedId(['fork', kept.checkpoint, seen.checkpoint])
        await store.append<WitnessEvent>(stream, [{ type: 'ForkSeen', id, data }])
        throw error
      }
      const { signatures } = parseNote(kept.checkpoint)
      // A key that has taken the place of another cosigns what that one has.
      if (kept.size === seen.size && signatures.some(({ keyId }) => keyId === own.keyId)) return kept
    }
    const checkpoint = await cosignNote(seen.checkpoint, signer, Math.floor(clock() / 1_000))
    const data = { size: seen.size, root: seen.root, checkpoint }
    try {
      await store.append<WitnessEvent>(stream, [{ type: 'Cosigned', data }], { expected: revision })
      return readDigest(checkpoint)
    } catch (error) {
      // Another one has witnessed at the same time: what it has cosigned is the one to extend.
      if (!isStoreError(error, 'revision-conflict')) throw error
    }
  }
}

async function lastCosigned(store: Pick<Store, 'readPage'>, stream: string) {
  let revision: number | undefined
  for (let until: number | undefined; until !== 0; ) {
    const range = until === undefined ? {} : { until }
    const page = await store.readPage<WitnessEvent>(stream, { direction: 'backwards', ...range })
    revision ??= page.details?.revision ?? 0
    for (const event of page.events) {
      if (event.type === 'Cosigned') return { kept: readDigest(event.data.checkpoint), revision }
    }
    until = page.more ? (page.events.at(-1)?.revision ?? 1) - 1 : 0
  }
  return { kept: undefined, revision: revision ?? 0 }
}

async function checkGrowth(
  kept: SignedDigest,
  seen: OpenedDigest,
  { ledger, verifierKeys }: Pick<WitnessOptions, 'ledger' | 'verifierKeys'>,
): Promise<void> {
  if (seen.size < kept.size) {
    const reason = `The log "${seen.origin}" has a digest of ${seen.size} events, and one of ${kept.size} was cosigned`
    throw new ProofInvalid('position', reason)
  }
  if (kept.size === 0) return
  if (seen.size === kept.size) {
    if (seen.root === kept.root) return
    throw new ProofInvalid('path', `The log "${seen.origin}" has two digests of ${seen.size} events`)
  }
  const proof = await ledger.proveConsistency(kept.size, seen.size)
  // The one that was kept bears the log's signature, too.
  checkConsistency(proof, { from: kept.checkpoint, to: seen.checkpoint }, verifierKeys)
}
