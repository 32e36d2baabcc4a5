/**
 * The ledger of a store: digests of the log, signed again and again, and proofs that an event is in it, that one digest extends
 * another, and what an entity's history was. Who keeps a digest outside the store needs to trust nobody inside.
 */
import { checkObject, checkOrdinal } from './argument.ts'
import { type Background, checkCount } from './background.ts'
import { asStored, type Proving } from './decrypting.ts'
import { openDigest, readDigest, rootOf, type SignedDigest } from './digest.ts'
import { InvalidArgument, PositionBeyondHead, StreamNotFound, Unsupported } from './errors.ts'
import { leafOf } from './leaf.ts'
import { LedgerBroken, NotSealed, ProofInvalid } from './ledger-errors.ts'
import {
  type HashReader,
  hashesOfTile,
  hashReader,
  type LedgerState,
  ledgers,
  readState,
  tileKey,
  tiles,
} from './ledger-state.ts'
import { limits } from './limits.ts'
import { checkStream } from './name.ts'
import { type Signer, verifierOf } from './note.ts'
import type { ObjectStore } from './object-store.ts'
import { type ConsistencyProof, consistencyProof, type EventProof, entryOfRecord, eventProof } from './proof.ts'
import { checkPublish, createPublish, type PublishOptions, publishedCheckpoints } from './publish.ts'
import { type SealedDigest, type Sealing, seal, sealed } from './seal.ts'
import { addSealJob, sealHandler, sealKind } from './seal-job.ts'
import type { LogRecord } from './storage.ts'
import { parseTilePath, printEntries, type TileName, tileWidth } from './tile.ts'
import { auditPath, consistencyPath, equalHashes, hashBytes, rootOfInclusion } from './tree.ts'
import { listOf, type VerifyOptions, type VerifyReport, verify } from './verify.ts'

export interface LedgerOptions {
  /** Seals in the log's name; without it this process can read the ledger, prove and verify. */
  readonly signer?: Signer
  /** By which digests are verified, beside the signer's own: earlier keys of the log, keys of witnesses. */
  readonly verifierKeys?: readonly string[]
  /** How often workers seal, in ms: as long as an event may be in the log before its digest. Default 60,000. */
  readonly everyMs?: number
  /** Where each digest goes once it is signed, and what verifying holds the log against. */
  readonly publish?: PublishOptions
}

/** An event, by where it is in its stream or in the log. */
export type EventPlace = { readonly stream: string; readonly revision: number } | { readonly position: number }

export interface ProveOptions {
  /** A signed digest that was kept: the proof is against it. Default: the newest one. */
  readonly checkpoint?: string
}

export interface HistoryOptions {
  /** Only events after this revision. */
  readonly after?: number
}

export interface Ledger {
  /** Signs a digest of all that is in the log. Throws `Unsupported` without a signer, `LedgerBroken` where it would hide a change. */
  seal(): Promise<SealedDigest>
  /** The newest digest; undefined before the first. */
  digest(): Promise<SealedDigest | undefined>
  /** Throws `NotSealed` for an event that no digest covers yet. */
  prove(event: EventPlace, options?: ProveOptions): Promise<EventProof>
  /** That the digest of `to` events, by default the newest, extends the digest of `from`, of at least one. */
  proveConsistency(from: number, to?: number): Promise<ConsistencyProof>
  /** All events of a stream that the newest digest covers, in order, with their proofs; also what was archived or forgotten. */
  history(stream: string, options?: HistoryOptions): AsyncIterable<EventProof>
  /**
   * The whole log: every record, every stream's order, every hash of the ledger, the digest's signature; against a digest
   * that was kept outside, too. Names the first wrong position. Needs no signer, and changes nothing.
   */
  verify(options?: VerifyOptions): Promise<VerifyReport>
  /** By its C2SP path, as bytes: hashes, or a bundle of entries. Undefined for what is not sealed. */
  tile(path: string): Promise<Uint8Array | undefined>
}

/** The face, and what the store does for it. */
export function createLedger(
  background: Background,
  options: LedgerOptions = {},
  proving: Proving = { storage: background.storage, open: asStored },
) {
  const { signer, keys, everyMs } = checkLedgerOptions(options)
  const published = options.publish?.objects
  const sealing = signer && { signer, keys, publish: options.publish && createPublish(background, options.publish) }
  return {
    face: ledgerOf(background, keys, { sealing, published, proving }),
    collections: [tiles, ledgers],
    handlers: sealing ? { [sealKind]: sealHandler(background, sealing, everyMs) } : {},
    begin: async () => {
      if (sealing) await addSealJob(background)
    },
  }
}

interface LedgerTools {
  readonly sealing: Sealing | undefined
  readonly published: ObjectStore | undefined
  readonly proving: Proving
}

function ledgerOf(
  background: Background,
  keys: readonly string[],
  { sealing, published, proving: { storage, open } }: LedgerTools,
): Ledger {
  let lastChecked: string | undefined

  /** Checking takes longer than all the rest of a proof, so that it is not done twice. */
  function checkSignature({ checkpoint }: SignedDigest): void {
    if (keys.length === 0 || checkpoint === lastChecked) return
    openDigest(checkpoint, keys)
    lastChecked = checkpoint
  }

  /** Against which digest is proven. */
  async function prover({ checkpoint }: ProveOptions = {}) {
    const state = await readState(storage)
    const digest = checkpoint === undefined ? state.digest : readDigest(checkpoint)
    if (digest === undefined) throw new NotSealed({ position: undefined, size: 0 })
    checkSignature(digest)
    if (digest.size > state.size) throw new NotSealed({ position: digest.size, size: state.size })
    return { digest, state, read: hashReader(storage, state) }
  }

  async function proofAt(position: number, { digest, read }: Prover): Promise<EventProof> {
    const record = await recordAt(position)
    const entry = entryOfRecord(record)
    if (entry === undefined) throw new LedgerBroken(`position ${position}`, 'the log lacks what proves the event there')
    const index = position - 1
    const path = await read(auditPath(index, digest.size))
    const root = rootOfInclusion({ index, size: digest.size, leaf: leafOf(entry), path })
    if (root && equalHashes(root, rootOf(digest))) return eventProof(record, { path, checkpoint: digest.checkpoint })
    const [whole] = await read([{ from: 0, to: digest.size }])
    if (whole && equalHashes(whole, rootOf(digest))) {
      throw new LedgerBroken(`position ${position}`, 'the event there is not the one that was sealed')
    }
    throw new ProofInvalid(
      'path',
      `The digest of ${digest.size} events is not one of this log, or its ledger was changed`,
    )
  }

  async function recordAt(position: number): Promise<LogRecord & { readonly position: number }> {
    const { records, head } = await storage.readLog({
      ...{ after: position - 1, until: position, direction: 'forwards', limit: 1, evidence: true },
    })
    const [record] = records
    if (position > head) throw new PositionBeyondHead({ position, head })
    if (record?.position !== position) throw new LedgerBroken(`position ${position}`, 'the log has no event there')
    return { ...record, position }
  }

  async function positionOf(event: EventPlace, size: number): Promise<number> {
    checkObject(event, 'event')
    if ('position' in event) {
      checkCount(event.position, 'event.position', Number.MAX_SAFE_INTEGER)
      return event.position
    }
    const { stream, revision } = event
    checkStream(stream)
    checkCount(revision, 'event.revision', Number.MAX_SAFE_INTEGER)
    const position = await storage.positionOf(stream, revision)
    if (position !== undefined) return position
    const { head } = await storage.readStream(stream, { after: 0, direction: 'backwards', limit: 1 })
    if (head === undefined) throw new StreamNotFound(stream)
    if (revision <= head.revision) throw new NotSealed({ position: undefined, size })
    throw new InvalidArgument('event.revision', `is beyond the end of "${stream}", which is ${head.revision}`)
  }

  async function* historyOf(stream: string, after: number): AsyncGenerator<EventProof> {
    const { head } = await storage.readStream(stream, { after: 0, direction: 'backwards', limit: 1 })
    if (head === undefined) throw new StreamNotFound(stream)
    const proving = await prover()
    for (let revision = after + 1; revision <= head.revision; revision++) {
      const position = await storage.positionOf(stream, revision)
      if (position === undefined || position > proving.digest.size) return
      yield await proofAt(position, proving)
    }
  }

  return {
    async seal() {
      if (sealing === undefined)
        throw new Unsupported('ledger', 'The store was opened without a signer (ledger.signer)')
      return seal(background, sealing)
    },
    async digest() {
      const state = await readState(storage)
      if (state.digest === undefined) return undefined
      checkSignature(state.digest)
      return sealed(state)
    },
    async prove(event, options = {}) {
      checkObject(options, 'options')
      const proving = await prover(options)
      const { size } = proving.digest
      const position = await positionOf(event, size)
      if (position > size) throw new NotSealed({ position, size })
      return proofAt(position, proving)
    },
    async proveConsistency(from, to) {
      checkOrdinal(from, 'from')
      const { digest, state, read } = await prover()
      const size = to ?? digest.size
      checkOrdinal(size, 'to')
      if (size > state.size) throw new NotSealed({ position: size, size: state.size })
      if (from < 1 || from > size) throw new InvalidArgument('from', `must be 1 to ${size}`)
      return consistencyProof(from, size, await read(consistencyPath(from, size)))
    },
    history(stream, options = {}) {
      checkStream(stream)
      checkObject(options, 'options')
      const { after = 0 } = options
      checkOrdinal(after, 'after')
      return historyOf(stream, after)
    },
    async verify(options = {}) {
      checkObject(options, 'options')
      const kept = published ? await publishedCheckpoints(published, keys) : []
      const checkpoint = [...kept, ...listOf(options.checkpoint)]
      return verify({ storage, open, archived: background.archived }, keys, { ...options, checkpoint })
    },
    async tile(path) {
      const tile = parseTilePath(path)
      const state = await readState(storage)
      return tile.level === 'entries' ? entriesOf(tile, state) : hashesOf({ ...tile, level: tile.level }, state)
    },
  }

  async function hashesOf(
    { level, index, width }: TileName & { readonly level: number },
    { size, edge }: LedgerState,
  ): Promise<Uint8Array | undefined> {
    const end = Math.floor(size / tileWidth ** level)
    if (index * tileWidth + width > end) return undefined
    if (index === Math.floor(end / tileWidth)) return edge[level]?.slice(0, width * hashBytes)
    const key = tileKey({ level, index })
    const [document] = await storage.getDocuments([key])
    return hashesOfTile(key, document).slice(0, width * hashBytes)
  }

  async function entriesOf({ index, width }: TileName, { size }: LedgerState): Promise<Uint8Array | undefined> {
    const until = index * tileWidth + width
    if (until > size) return undefined
    const entries: Uint8Array[] = []
    for (let after = index * tileWidth; after < until; ) {
      const { records } = await storage.readLog({ after, until, direction: 'forwards', limit: width, evidence: true })
      for (const record of records) {
        const entry = entryOfRecord(record)
        if (entry === undefined || record.position !== after + 1) break
        entries.push(entry)
        after++
      }
      if (records.at(-1)?.position !== after)
        throw new LedgerBroken(`position ${after + 1}`, 'the log lacks the event there')
    }
    return printEntries(entries)
  }
}

interface Prover {
  readonly digest: SignedDigest
  readonly read: HashReader
}

/** Throws `InvalidArgument` for keys that are none. */
function checkLedgerOptions(options: LedgerOptions) {
  checkObject(options, 'ledger')
  const { signer, verifierKeys = [], everyMs = limits.sealEveryMs } = options
  if (signer && verifierOf(signer.verifierKey, 'ledger.signer.verifierKey').cosigns)
    throw new InvalidArgument('ledger.signer', 'is the key of a witness; a log has one of its own')
  if (options.publish !== undefined) checkPublish(options.publish)
  for (const [at, key] of verifierKeys.entries()) verifierOf(key, `ledger.verifierKeys[${at}]`)
  return {
    signer,
    keys: signer ? [signer.verifierKey, ...verifierKeys] : verifierKeys,
    everyMs: checkCount(everyMs, 'ledger.everyMs', limits.jobKeepMs),
  }
}
