/**
 * Verifying the whole log: every record against what binds it, the order of every stream, the tree over all of it against the
 * tiles and the signed digest that are stored, and against a digest that was kept outside. It reads, and changes nothing.
 */
import { checkObject } from './argument.ts'
import { auditLog, firstOf, type LogAudit } from './audit.ts'
import { type Background, checkParallel } from './background.ts'
import { asStored, type Proving } from './decrypting.ts'
import { type Digest, keptDigest, openDigest, rootOf, type SignedDigest } from './digest.ts'
import { isStoreError } from './errors.ts'
import type { Fault, Piece, PieceAudit, StateCounts } from './finding.ts'
import { hashesOfTile, hashReader, type LedgerState, readState, tileKey } from './ledger-state.ts'
import { limits } from './limits.ts'
import { endOfLog, readPiece } from './read-piece.ts'
import type { Storage } from './storage.ts'
import { hashIn, rootOfTile, type Tile, tileBytes, tileWidth } from './tile.ts'
import { auditPath, equalHashes, hashBytes, rootOfPath } from './tree.ts'
import { wrongEnds } from './verify-ends.ts'

export interface VerifyOptions {
  /** Signed digests that were kept outside the store: the log must begin with what each covers. */
  readonly checkpoint?: string | readonly string[]
  /** Pieces of the log that are read at the same time, 1 to 1,000; default 4. A long log in SQLite is read by several cores. */
  readonly parallel?: number
  /** Called now and then with how far it is. */
  readonly onProgress?: (progress: { readonly position: number; readonly head: number }) => void
  readonly signal?: AbortSignal
}

export interface VerifyReport {
  readonly logId: string
  /** Where the log ended when it began. */
  readonly head: number
  /** Up to here nothing was found wrong. */
  readonly verified: number
  readonly streams: number
  readonly events: StateCounts
  /** Of the trimmed ones, those whose content was not looked at, because their archive is not at hand. */
  readonly unread: number
  /** Events that are as they were stored, but were not decrypted: their key is not here, or no more. */
  readonly encrypted?: number
  /** The newest digest that the store has; events behind it are held against each other, and against nothing signed. */
  readonly digest?: SignedDigest
  /** Whether the digest's signature was checked: that takes a key. */
  readonly signed: boolean
  /** The digest that was given; of several the largest. */
  readonly checkpoint?: SignedDigest
  /** What is wrong first, in order of position; absent where nothing is. */
  readonly fault?: Fault
}

export const pieceRecords = 16 * tileWidth

/** Throws `InvalidArgument` or `ProofInvalid` for a checkpoint that proves nothing; whatever is wrong inside is in the report. */
export async function verify(
  { storage, open, archived: archive }: Proving & Pick<Background, 'archived'>,
  keys: readonly string[],
  options: VerifyOptions = {},
): Promise<VerifyReport> {
  checkObject(options, 'options')
  const { onProgress, signal } = options
  const archived = archive && { ...archive.anew(), decrypt: open }
  const parallel = checkParallel(options.parallel ?? limits.verifyParallel)
  const kept = listOf(options.checkpoint).map((checkpoint) => keptDigest(checkpoint, keys))
  const { state, fault: stateFault } = await readLedger(storage, keys)
  const { logId, head } = await endOfLog(storage)
  const known = state.digest ? [...kept, state.digest] : kept
  const log = auditLog(
    known.map(({ size }) => size),
    state.size,
  )
  let fault: Fault | undefined
  const auditors = head < limits.verifyThreadEvents ? undefined : storage.auditors?.(parallel)
  const audit = async (piece: Piece) => {
    const found = await auditors?.audit(piece)
    // The archive, and the keys of what is encrypted, are at hand here alone.
    const whole =
      found && (open === asStored || found.encrypted === 0) && (archived === undefined || found.unread === 0)
    return whole ? found : readPiece(storage, piece, { archived, signal })
  }
  try {
    for await (const piece of inOrder(piecesOf(head), parallel, audit)) {
      signal?.throwIfAborted()
      const leafFault = await compareLeaves(storage, state, piece)
      fault = firstOf([log.join(piece), leafFault, await compareTiles(storage, state, log.tree.take())])
      onProgress?.({ position: piece.until, head })
      if (fault) break
    }
  } finally {
    await auditors?.close()
  }
  const size = known.reduce((most, { size }) => Math.max(most, size), state.size)
  // What a log that was cut off lacks, tombstones too, is missing from its end on.
  fault = firstOf([fault, ...(size > head ? [truncated(size, head)] : await withoutTombstone(storage, log))])
  fault ??= firstOf(await wrongEnds(storage, log, { head, signal }))
  fault ??= stateFault ?? compareEdge(state, log)
  fault ??= compareDigests(known, log)
  return {
    ...{ logId, head },
    verified: fault ? fault.position - 1 : head,
    streams: log.ends.size,
    events: log.counts,
    unread: log.unread,
    ...(log.encrypted > 0 && { encrypted: log.encrypted }),
    ...(state.digest && { digest: state.digest }),
    signed: keys.length > 0 && state.digest !== undefined,
    ...keptIn(kept),
    ...(fault && { fault }),
  }
}

export function listOf(checkpoint: string | readonly string[] | undefined): readonly string[] {
  return checkpoint === undefined ? [] : [checkpoint].flat()
}

/** For the report. */
export function keptIn(kept: readonly SignedDigest[]): { readonly checkpoint?: SignedDigest } {
  const largest = kept.reduce<SignedDigest | undefined>(
    (most, each) => (each.size > (most?.size ?? -1) ? each : most),
    undefined,
  )
  return largest ? { checkpoint: largest } : {}
}

/** What is wrong with it is said once the log itself was looked at. */
async function readLedger(
  storage: Storage,
  keys: readonly string[],
): Promise<{ readonly state: LedgerState; readonly fault?: Fault }> {
  const none = { size: 0, edge: [] }
  try {
    const state = await readState(storage)
    try {
      if (state.digest && keys.length > 0) openDigest(state.digest.checkpoint, keys)
      return { state }
    } catch (error) {
      if (!isStoreError(error)) throw error
      return { state, fault: { position: 1, until: state.size, kind: 'signature', message: error.message } }
    }
  } catch (error) {
    if (!isStoreError(error, 'ledger-broken')) throw error
    return { state: none, fault: { position: 1, kind: 'tile', message: error.message } }
  }
}

function* piecesOf(head: number): Generator<Piece> {
  for (let after = 0; after < head; after += pieceRecords) yield { after, until: Math.min(head, after + pieceRecords) }
}

/** Runs some at the same time, and gives their results in order. */
async function* inOrder<Item, Result>(
  items: Iterable<Item>,
  parallel: number,
  run: (item: Item) => Promise<Result>,
): AsyncGenerator<Result> {
  const running: Promise<Result>[] = []
  try {
    for (const item of items) {
      const result = run(item)
      // One that fails before its turn is heard of in its turn.
      result.catch(() => {})
      running.push(result)
      const first = running.length < parallel ? undefined : running.shift()
      if (first) yield await first
    }
    for (let next = running.shift(); next; next = running.shift()) yield await next
  } finally {
    await Promise.allSettled(running)
  }
}

/** Against the tiles of level 0, and what is sealed beyond the last one. */
async function compareLeaves(storage: Storage, state: LedgerState, piece: PieceAudit): Promise<Fault | undefined> {
  const keys = piece.blocks.map((_, at) => tileKey({ level: 0, index: piece.after / tileWidth + at }))
  const sealedBlocks = Math.floor(state.size / tileWidth)
  const whole = keys.filter((_, at) => piece.after / tileWidth + at < sealedBlocks)
  const documents = whole.length === 0 ? [] : await storage.getDocuments(whole)
  for (const [at, { leaves, root }] of piece.blocks.entries()) {
    const first = piece.after + at * tileWidth
    const key = whole[at]
    let hashes: Uint8Array
    try {
      hashes = key
        ? hashesOfTile(key, documents[at])
        : first < state.size
          ? (state.edge[0] ?? new Uint8Array())
          : leaves
    } catch (error) {
      if (!isStoreError(error, 'ledger-broken')) throw error
      return tileFault(first, error.message)
    }
    const differs = firstDifference(leaves, hashes)
    if (differs === undefined) continue
    const tileRoot = hashes.length === tileBytes ? rootOfTile(hashes) : undefined
    if (root && tileRoot && (await leadsToDigest(storage, state, { from: first, hash: root }))) {
      return tileFault(first, `The tile ${key?.key} is not that of the log, which is as it was signed`)
    }
    return { position: first + differs + 1, kind: 'leaf', message: 'The record is not the one that was sealed there' }
  }
  return undefined
}

function tileFault(after: number, message: string): Fault {
  return { position: after + 1, until: after + tileWidth, kind: 'tile', message }
}

/** Of hashes that both have. */
function firstDifference(left: Uint8Array, right: Uint8Array): number | undefined {
  const count = Math.min(left.length, right.length) / hashBytes
  for (let at = 0; at < count; at++) if (!equalHashes(hashIn(left, at), hashIn(right, at))) return at
  return undefined
}

/** Whether a tile with this root is in the signed tree, by all that is stored beside it. */
async function leadsToDigest(
  storage: Storage,
  state: LedgerState,
  node: { readonly from: number; readonly hash: Uint8Array },
): Promise<boolean> {
  const { digest } = state
  if (digest === undefined || node.from + tileWidth > digest.size) return false
  // The path inside of the tile is left out.
  const ranges = auditPath(node.from, digest.size).slice(Math.log2(tileWidth))
  try {
    return equalHashes(rootOfPath(node, ranges, await hashReader(storage, state)(ranges)), rootOf(digest))
  } catch (error) {
    if (!isStoreError(error, 'ledger-broken')) throw error
    return false
  }
}

/** Tiles of the levels above, once they are full. */
async function compareTiles(storage: Storage, state: LedgerState, full: readonly Tile[]): Promise<Fault | undefined> {
  const stored = full.filter(({ level, index }) => (index + 1) * tileWidth ** (level + 1) <= state.size)
  if (stored.length === 0) return undefined
  const keys = stored.map(tileKey)
  const documents = await storage.getDocuments(keys)
  for (const [at, { level, index, hashes }] of stored.entries()) {
    const key = keys[at]
    if (key === undefined) continue
    const span = tileWidth ** (level + 1)
    const position = index * span + 1
    try {
      if (!equalHashes(hashesOfTile(key, documents[at]), hashes))
        throw new Error(`The tile ${key.key} is not that of the log`)
    } catch (error) {
      return { position, until: position + span - 1, kind: 'tile', message: (error as Error).message }
    }
  }
  return undefined
}

/** The document of the ledger against the tree at its size. */
function compareEdge({ size, edge }: LedgerState, log: LogAudit): Fault | undefined {
  const expected = log.edge()
  if (
    expected === undefined ||
    edge.every((hashes, level) => equalHashes(hashes, expected[level] ?? hashes.slice(0, 0)))
  ) {
    return undefined
  }
  const message = 'The document of the ledger holds other hashes than those of the log'
  return { position: 1, until: size, kind: 'tile', message }
}

/** The smallest one that does not fit; the log is wrong somewhere behind the largest below it that does. */
export function compareDigests(digests: readonly Digest[], log: LogAudit): Fault | undefined {
  let right = 0
  for (const digest of digests.toSorted((left, right) => left.size - right.size)) {
    const { size } = digest
    const root = log.rootAt(size)
    if (root === undefined) continue
    if (!equalHashes(root, rootOf(digest))) {
      const position = right < size ? right + 1 : 1
      const message = `The first ${size} events of the log are not those that were signed`
      return { position, until: size, kind: 'digest', message }
    }
    right = size
  }
  return undefined
}

export function truncated(size: number, head: number): Fault {
  const message = `The log ends at ${head}, and ${size} events were sealed`
  return { position: head + 1, until: size, kind: 'truncated', message }
}

/** A tombstone may have come since the log's end was looked at; then its stream is closed, and it is the one that is there. */
async function withoutTombstone(storage: Storage, log: LogAudit): Promise<readonly Fault[]> {
  const faults: Fault[] = []
  for (const fault of log.unclosed()) {
    if (!(await endsInTombstone(storage, fault.stream ?? ''))) faults.push(fault)
  }
  return faults
}

/** A stream whose end cannot be read has none either: the log that it is in has just been read. */
async function endsInTombstone(storage: Storage, stream: string): Promise<boolean> {
  try {
    const { head, records } = await storage.readStream(stream, { after: 0, direction: 'backwards', limit: 1 })
    return head?.closed === true && records[0]?.state === 'tombstone'
  } catch (error) {
    if (isStoreError(error, 'storage-failed')) return false
    throw error
  }
}
