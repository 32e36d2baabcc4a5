/**
 * What the ledger keeps as documents: each full tile under its path, and one document with the tree's right edge and the newest
 * signed digest. Of the edge and a few tiles every hash of the tree is made that a proof asks for.
 */
import { base64Of, bytesOfBase64 } from './base64.ts'
import { readDigest, type SignedDigest } from './digest.ts'
import { putDocument } from './document.ts'
import { canonicalJson } from './encoding.ts'
import { LedgerBroken } from './ledger-errors.ts'
import type { CollectionSpec, Document, DocumentKey, DocumentWrite, Storage } from './storage.ts'
import { edgeFits, hashOfPart, placeOf, type Tile, tileBytes, tilePath, tileWidth } from './tile.ts'
import { type Hash, hashOver, type Leaves, type Subtree, subtreesOf } from './tree.ts'

export const tiles: CollectionSpec = { collection: '$tiles', indexes: [] }
export const ledgers: CollectionSpec = { collection: '$ledger', indexes: [] }

export interface LedgerState {
  /** Events that are in tiles and edge; at least those that the digest covers. */
  readonly size: number
  /** By level, the hashes that are in no full tile. */
  readonly edge: readonly Uint8Array[]
  readonly digest?: SignedDigest
  /** When the digest was signed, in epoch milliseconds. */
  readonly sealedAt?: number
  /** Of the document; absent where there is none. */
  readonly version?: string
}

/** As it is stored; bytes in base64. */
interface StateBody {
  readonly size: number
  readonly edge: readonly string[]
  readonly checkpoint?: string | undefined
  readonly sealedAt?: number | undefined
}

export const stateKey: DocumentKey = { collection: ledgers.collection, key: 'log' }

/** Throws `LedgerBroken` where the document is not one that sealing has written. */
export async function readState(storage: Pick<Storage, 'getDocuments'>): Promise<LedgerState> {
  const [document] = await storage.getDocuments([stateKey])
  return document === undefined ? { size: 0, edge: [] } : parseState(document)
}

/** Throws `LedgerBroken`. */
export function parseState({ body, version }: Pick<Document, 'body' | 'version'>): LedgerState {
  try {
    const { size, edge: texts, checkpoint, sealedAt } = JSON.parse(body) as StateBody
    const edge = texts.map((text) => bytesOfBase64(text) ?? new Uint8Array())
    if (!Number.isSafeInteger(size) || size < 0 || !edgeFits(size, edge))
      throw new Error('its edge is not that of its size')
    const digest = checkpoint === undefined ? undefined : readDigest(checkpoint)
    if (digest && digest.size > size) throw new Error('its digest is of more events than it has')
    const state = { size, edge, version, ...(digest && { digest }), ...(sealedAt !== undefined && { sealedAt }) }
    if (canonicalJson(bodyOf(state)) !== body) throw new Error('it holds something that sealing did not write')
    return state
  } catch (error) {
    throw new LedgerBroken('the document of the ledger', (error as Error).message)
  }
}

/** Fails with a conflict where somebody has sealed since the state was read. */
export function putState(state: LedgerState, previous: LedgerState): readonly DocumentWrite[] {
  const { version } = previous
  const guard = version === undefined ? ({ is: 'absent' } as const) : ({ is: 'version', version } as const)
  return putDocument(ledgers, { key: stateKey.key, body: bodyOf(state), if: guard })
}

function bodyOf({ size, edge, digest, sealedAt }: LedgerState): StateBody {
  return { size, edge: edge.map(base64Of), checkpoint: digest?.checkpoint, sealedAt }
}

/** A tile is the same whoever makes it, so that it may be written again. */
export function putTile(tile: Tile): readonly DocumentWrite[] {
  return putDocument(tiles, { key: tilePath(tile), body: tileBody(tile.hashes), if: { is: 'anything' } })
}

export function tileKey(tile: { readonly level: number; readonly index: number }): DocumentKey {
  return { collection: tiles.collection, key: tilePath({ ...tile, width: tileWidth }) }
}

function tileBody(hashes: Uint8Array): { readonly hashes: string } {
  return { hashes: base64Of(hashes) }
}

/** Throws `LedgerBroken` where it is missing, or is no tile. */
export function hashesOfTile({ key }: DocumentKey, document: Document | undefined): Uint8Array {
  if (document === undefined) throw new LedgerBroken(key, 'the tile is missing')
  let hashes: Uint8Array | undefined
  try {
    hashes = bytesOfBase64((JSON.parse(document.body) as ReturnType<typeof tileBody>).hashes)
  } catch {}
  if (hashes?.length !== tileBytes) throw new LedgerBroken(key, 'the tile is not one of 256 hashes')
  return hashes
}

/** Tiles that whoever proves one event after the other keeps at hand. */
const keptTiles = 64

/** Gives the hashes over leaves of the state's tree, all in one request to the storage. */
export type HashReader = (ranges: readonly Leaves[]) => Promise<readonly Hash[]>

export function hashReader(storage: Pick<Storage, 'getDocuments'>, { size, edge }: LedgerState): HashReader {
  const kept = new Map<string, Uint8Array>()
  const isEdge = (level: number, index: number) => index === Math.floor(size / tileWidth ** (level + 1))

  return async (ranges) => {
    const wanted = new Map<string, DocumentKey>()
    for (const subtree of ranges.flatMap(subtreesOf)) {
      const place = placeOf(subtree)
      const key = tileKey(place)
      if (!isEdge(place.level, place.index) && !kept.has(key.key)) wanted.set(key.key, key)
    }
    const keys = [...wanted.values()]
    const found = keys.length === 0 ? [] : await storage.getDocuments(keys)
    for (const [at, key] of keys.entries()) kept.set(key.key, hashesOfTile(key, found[at]))
    const hashAt = (subtree: Subtree) => {
      const { level, index, ...part } = placeOf(subtree)
      const hashes = isEdge(level, index) ? edge[level] : kept.get(tileKey({ level, index }).key)
      return hashOfPart(hashes ?? new Uint8Array(), part)
    }
    const hashes = ranges.map((range) => hashOver(range, hashAt))
    for (const key of kept.keys()) {
      if (kept.size <= keptTiles) break
      kept.delete(key)
    }
    return hashes
  }
}
