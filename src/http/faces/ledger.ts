/**
 * The client's ledger. Where it was given verifier keys, digests and proofs are checked here, so that the server need not be
 * trusted with more than to answer; what sealing and verifying say is the server's own word.
 */
import { checkObject } from '../../core/argument.ts'
import { isStoreError } from '../../core/errors.ts'
import type { EventPlace, Ledger } from '../../core/ledger.ts'
import { ProofInvalid } from '../../core/ledger-errors.ts'
import { checkStream } from '../../core/name.ts'
import type { EventProof } from '../../core/proof.ts'
import { type RequestFailed, ServerUnreachable } from '../../core/request-errors.ts'
import type { SealedDigest } from '../../core/seal.ts'
import { parseTilePath } from '../../core/tile.ts'
import { parameters, segment } from '../parameters.ts'
import type { Requester } from '../request.ts'
import { work } from '../working.ts'

export function ledgerOver(requester: Requester, verifierKeys: readonly string[]): Ledger {
  const { ask } = requester
  /** Loaded where it is used: the curve is more code than all the rest of a client. */
  const proofs = () => import('../../core/proof.ts')

  async function checkedDigest(digest: SealedDigest): Promise<SealedDigest> {
    if (verifierKeys.length === 0) return digest
    const { openDigest } = await import('../../core/digest.ts')
    const { origin, size, root } = openDigest(digest.checkpoint, verifierKeys)
    return { ...digest, origin, size, root }
  }

  async function checked(proof: EventProof, event: EventPlace, checkpoint?: string): Promise<EventProof> {
    if (verifierKeys.length === 0) return proof
    const { checkProof } = await proofs()
    checkProof(proof, verifierKeys)
    const isAsked =
      'position' in event
        ? proof.position === event.position
        : proof.stream === event.stream && proof.revision === event.revision
    if (!isAsked) throw new ProofInvalid('position', 'It is of another event than the one that was asked for')
    if (checkpoint !== undefined && proof.checkpoint !== checkpoint) {
      throw new ProofInvalid('signature', 'It is against another digest than the one that was given')
    }
    return proof
  }

  async function* historyOf(stream: string, from: number): AsyncGenerator<EventProof> {
    const path = `/ledger/history/${stream.slice(0, stream.indexOf('/'))}/${segment(stream.slice(stream.indexOf('/') + 1), 'stream')}`
    for (let after = from, more = true; more; ) {
      const page = await ask<{ readonly proofs: readonly EventProof[]; readonly more: boolean }>('GET', path, {
        query: parameters({ after }),
      })
      for (const proof of page.proofs) yield await checked(proof, { stream, revision: ++after })
      more = page.more
    }
  }

  return {
    seal: async () => checkedDigest(await ask<SealedDigest>('POST', '/ledger/seal', { body: {} })),
    async digest() {
      const digest = await ask<SealedDigest | undefined>('GET', '/ledger', { absent: 'not-sealed' })
      return digest && checkedDigest(digest)
    },
    async prove(event, options = {}) {
      checkObject(event, 'event')
      checkObject(options, 'options')
      const { checkpoint } = options
      return checked(await ask('POST', '/ledger/prove', { body: { event, checkpoint } }), event, checkpoint)
    },
    proveConsistency: (from, to) => ask('GET', '/ledger/consistency', { query: parameters({ from, to }) }),
    history(stream, options = {}) {
      checkStream(stream)
      checkObject(options, 'options')
      return historyOf(stream, options.after ?? 0)
    },
    async verify(options = {}) {
      checkObject(options, 'options')
      const { checkpoint, parallel, onProgress, signal } = options
      return work(requester, '/ledger/verify', {
        body: { checkpoint, parallel },
        onProgress: onProgress && ((progress) => onProgress(progress as Parameters<typeof onProgress>[0])),
        signal,
      })
    },
    async tile(path) {
      parseTilePath(path)
      return requester.trying<Uint8Array | undefined>(async () => {
        try {
          const response = await requester.begin('GET', `/ledger/${path}`, { signal: requester.closing })
          return { answer: new Uint8Array(await response.arrayBuffer()) }
        } catch (error) {
          if (!isStoreError(error)) return { failure: new ServerUnreachable(requester.url, error) }
          const absent = error.code === 'request-failed' && (error as RequestFailed).status === 404
          return absent ? { answer: undefined } : { failure: error }
        }
      }, {})
    },
  }
}
