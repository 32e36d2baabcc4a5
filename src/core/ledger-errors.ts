/** What can go wrong with the ledger, its digests and its proofs. */
import { StoreError } from './errors.ts'

/** No signed digest covers this position yet. The next one does: seal, or wait for the job that seals. */
export class NotSealed extends StoreError {
  override readonly code = 'not-sealed'
  /** Of the event, or how far a digest would have to reach; absent where the event has no position yet. */
  declare readonly position?: number
  /** What the newest digest covers; 0 where there is none. */
  declare readonly size: number
  constructor({ position, size }: { position: number | undefined; size: number }) {
    const what = position === undefined ? 'The event has no position yet' : `Position ${position} is not sealed yet`
    const facts = { ...(position !== undefined && { position }), size }
    super(`${what}: the newest digest covers ${size}; seal, or wait for the job that seals`, facts)
  }
}

/** What a proof, a digest or a signature says is not so. `part` is the first part of it that does not hold. */
export class ProofInvalid extends StoreError {
  override readonly code = 'proof-invalid'
  declare readonly part: 'signature' | 'content' | 'entry' | 'path' | 'position'
  declare readonly reason: string
  constructor(part: ProofInvalid['part'], reason: string) {
    super(`The proof does not hold (${part}): ${reason}`, { part, reason })
  }
}

/** What the ledger has stored does not fit together, or not to the log. Verify the log: it names the first wrong position. */
export class LedgerBroken extends StoreError {
  override readonly code = 'ledger-broken'
  declare readonly place: string
  declare readonly reason: string
  constructor(place: string, reason: string) {
    super(`The ledger is broken at ${place}: ${reason}; verify the log to know what is wrong`, { place, reason })
  }
}
