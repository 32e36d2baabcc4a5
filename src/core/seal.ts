/**
 * Sealing: the entries of the log since the last time become leaves of the tree, full tiles become documents, and a digest of
 * the whole is signed. It goes in steps; each is one commit that moves the ledger's document on, so that a crash loses at most
 * one, and of two that seal at once only one gets further at a time. Until an event is sealed, only the storage vouches for it.
 */
import { errorOf } from './append.ts'
import { type Background, checkWritable } from './background.ts'
import { digestOf, openDigest, rootOf, type SignedDigest, signDigest } from './digest.ts'
import { leafOf } from './leaf.ts'
import { LedgerBroken } from './ledger-errors.ts'
import { hashReader, type LedgerState, putState, putTile, readState } from './ledger-state.ts'
import { limits } from './limits.ts'
import { parseNote, type Signer, verifierOf } from './note.ts'
import { entryOfRecord } from './proof.ts'
import type { Publish } from './publish.ts'
import { growTree, tileWidth } from './tile.ts'
import { formatInstant } from './time.ts'
import { emptyRoot, equalHashes } from './tree.ts'
import { turn } from './turn.ts'

export interface SealedDigest extends SignedDigest {
  readonly sealedAt: string
}

export interface Sealing {
  readonly signer: Signer
  /** By one of which the digest before must be signed. */
  readonly keys: readonly string[]
  /** Where each digest goes once it is signed. */
  readonly publish?: Publish | undefined
}

/**
 * Signs a digest of all that the log holds now, and publishes it. Where nothing has come since the last one, it is that one.
 * What could not be published is the next time.
 */
export async function seal(background: Background, sealing: Sealing, signal?: AbortSignal): Promise<SealedDigest> {
  const digest = await sign(background, sealing, signal)
  await sealing.publish?.(digest)
  return digest
}

async function sign(
  background: Background,
  { signer, keys }: Sealing,
  signal: AbortSignal | undefined,
): Promise<SealedDigest> {
  checkWritable(background)
  const { storage, queue, making } = background
  let checked = false
  while (true) {
    signal?.throwIfAborted()
    const state = await readState(storage)
    const { head } = await storage.readLog({ after: 0, direction: 'backwards', limit: 1 })
    if (!checked) await checkState(background, state, { head, keys })
    checked = true
    if (state.digest?.size === head && isSignedBy(state.digest, signer)) return sealed(state)
    const { next, documents } = await step(background, state, { head, signer })
    const outcome = await queue.add({ id: making.newId(), appends: [], documents })
    // Somebody else has sealed meanwhile, and this one goes on from there.
    if (outcome.outcome === 'document-conflict') continue
    if (outcome.outcome !== 'committed') throw errorOf(outcome)
    if (next.size === head) return sealed(next)
  }
}

export function sealed({ digest, sealedAt }: LedgerState): SealedDigest {
  if (digest === undefined || sealedAt === undefined)
    throw new LedgerBroken('the document of the ledger', 'it lacks its digest')
  return { ...digest, sealedAt: formatInstant(sealedAt) }
}

/** With the key that signs now: another may have taken its place since. */
function isSignedBy({ checkpoint }: SignedDigest, { verifierKey }: Signer): boolean {
  const { name, keyId } = verifierOf(verifierKey)
  return parseNote(checkpoint).signatures.some((each) => each.name === name && each.keyId === keyId)
}

/** Nothing is built upon what is not what was signed, and not upon a log that has lost its tail. */
async function checkState(
  { storage }: Background,
  state: LedgerState,
  { head, keys }: { readonly head: number; readonly keys: readonly string[] },
): Promise<void> {
  const { size, digest } = state
  if (digest) openDigest(digest.checkpoint, keys)
  if (size > head) throw new LedgerBroken(`position ${head + 1}`, `${size} events were sealed, and the log has ${head}`)
  if (size === 0) return
  const read = hashReader(storage, state)
  if (digest) {
    const [root = emptyRoot] = digest.size === 0 ? [] : await read([{ from: 0, to: digest.size }])
    if (!equalHashes(root, rootOf(digest))) {
      throw new LedgerBroken('the document of the ledger', 'its tree is not the one whose digest was signed')
    }
  }
  const [leaf = emptyRoot] = await read([{ from: size - 1, to: size }])
  const { records } = await storage.readLog({
    after: size - 1,
    until: size,
    direction: 'forwards',
    limit: 1,
    evidence: true,
  })
  const entry = records[0] && entryOfRecord(records[0])
  if (entry === undefined || !equalHashes(leafOf(entry), leaf)) {
    throw new LedgerBroken(`position ${size}`, 'the log holds another event there than the one that was sealed')
  }
}

async function step(
  { storage, clock }: Background,
  state: LedgerState,
  { head, signer }: { readonly head: number; readonly signer: Signer },
) {
  const tree = growTree(state)
  const until = Math.min(head, (Math.floor(state.size / tileWidth) + limits.sealTiles) * tileWidth)
  while (tree.size < until) {
    // A tile at a time, and then others have their turn: writers shall not notice.
    const limit = tileWidth - (tree.size % tileWidth)
    const { records } = await storage.readLog({
      ...{ after: tree.size, until, direction: 'forwards', limit, evidence: true },
    })
    for (const record of records) {
      const entry = entryOfRecord(record)
      if (record.position !== tree.size + 1 || entry === undefined) break
      tree.add(leafOf(entry))
    }
    if (records.length === 0 || records.at(-1)?.position !== tree.size) {
      throw new LedgerBroken(`position ${tree.size + 1}`, 'the log lacks the event there, or what proves it')
    }
    await turn()
  }
  const grown = { ...state, size: tree.size, edge: tree.edge() }
  const next: LedgerState = tree.size < head ? grown : { ...grown, ...(await signed()) }
  return { next, documents: [...tree.take().flatMap(putTile), ...putState(next, state)] }

  async function signed() {
    const { name } = verifierOf(signer.verifierKey, 'ledger.signer.verifierKey')
    return {
      digest: await signDigest(digestOf(name, { size: tree.size, root: tree.root() }), signer),
      sealedAt: clock(),
    }
  }
}
