/**
 * Tiles (C2SP tlog-tiles): the tree's hashes in files of up to 256, each a piece of one level in eight. A full tile never
 * changes; the partial ones at the right edge grow. Names, and bundles of entries, are those of the specification.
 */
import { InvalidArgument } from './errors.ts'
import { leafOf } from './leaf.ts'
import { sha256Into } from './sha256.ts'
import { type Hash, hashBytes, nodeOf, rootOver, type Subtree } from './tree.ts'

export const tileLevels = 8
export const tileWidth = 2 ** tileLevels
export const tileBytes = tileWidth * hashBytes

export interface TileName {
  /** 0 holds leaves, each level above the roots of the tiles below; `'entries'` what the leaves are made of. */
  readonly level: number | 'entries'
  readonly index: number
  /** Hashes or entries in it, 1 to 256; below that it is partial. */
  readonly width: number
}

export interface Tile extends TileName {
  readonly level: number
  /** Its hashes, one after the other. */
  readonly hashes: Uint8Array
}

/** `tile/1/x001/x234/067`, of a partial tile with `.p/` and its width behind. */
export function tilePath({ level, index, width }: TileName): string {
  const digits = String(index)
  const parts = digits.padStart(Math.ceil(digits.length / 3) * 3, '0').match(/.{3}/g) ?? []
  const number = parts.map((part, at) => (at < parts.length - 1 ? `x${part}` : part)).join('/')
  return `tile/${level}/${number}${width < tileWidth ? `.p/${width}` : ''}`
}

const pathPattern = /^tile\/(entries|0|[1-9]\d?)\/((?:x\d{3}\/)*\d{3})(?:\.p\/([1-9]\d{0,2}))?$/

/** Throws `InvalidArgument` for what is not exactly the path of a tile. */
export function parseTilePath(path: string): TileName {
  const [, level = '', number = '', width] = (typeof path === 'string' && pathPattern.exec(path)) || []
  const tile: TileName = {
    level: level === 'entries' ? level : Number(level),
    index: Number(number.replaceAll(/[x/]/g, '')),
    width: width === undefined ? tileWidth : Number(width),
  }
  if (level === '' || !Number.isSafeInteger(tile.index) || tilePath(tile) !== path) {
    throw new InvalidArgument(
      'path',
      'must be the path of a tile, such as "tile/0/x001/234" or "tile/entries/000.p/17"',
    )
  }
  return tile
}

/** Where the hash of a complete subtree is: it covers `count` hashes of one tile, from `offset` on. */
export function placeOf({ level, index }: Subtree): {
  readonly level: number
  readonly index: number
  readonly offset: number
  readonly count: number
} {
  const count = 2 ** (level % tileLevels)
  const first = index * count
  return {
    level: Math.floor(level / tileLevels),
    index: Math.floor(first / tileWidth),
    offset: first % tileWidth,
    count,
  }
}

export function hashIn(hashes: Uint8Array, at: number): Hash {
  return hashes.subarray(at * hashBytes, (at + 1) * hashBytes)
}

/** Of hashes in a tile, 1, 2, 4 … of them. */
export function hashOfPart(hashes: Uint8Array, { offset, count }: { offset: number; count: number }): Hash {
  if (count === 1) return hashIn(hashes, offset)
  const half = count / 2
  return nodeOf(hashOfPart(hashes, { offset, count: half }), hashOfPart(hashes, { offset: offset + half, count: half }))
}

/** Row by row, with as little allocated as can be: it is done for every tile there is. */
export function rootOfTile(hashes: Uint8Array): Hash {
  const row = hashes.slice()
  const node = new Uint8Array(1 + 2 * hashBytes)
  node[0] = 1
  for (let count = tileWidth / 2; count >= 1; count /= 2) {
    for (let at = 0; at < count; at++) {
      const left = 2 * at * hashBytes
      for (let byte = 0; byte < 2 * hashBytes; byte++) node[1 + byte] = row[left + byte] ?? 0
      sha256Into(node, row, at * hashBytes)
    }
  }
  return row.slice(0, hashBytes)
}

/** A tree that grows leaf by leaf. Of what it has, it keeps the partial tiles only: a few KB, whatever its size. */
export interface Growth {
  readonly size: number
  add(leaf: Hash): void
  /** All leaves of a tile at once, by their root; where the last tile was full. */
  addTile(root: Hash): void
  /** The tiles that have become full since this was asked last. */
  take(): readonly Tile[]
  /** By level, the hashes that are in no full tile; what `growTree` goes on from. */
  edge(): readonly Uint8Array[]
  root(): Hash
}

/** Goes on from an edge that `edgeFits` has found right. */
export function growTree(start: { readonly size: number; readonly edge: readonly Uint8Array[] }): Growth {
  let { size } = start
  let full: Tile[] = []
  const levels = start.edge.map(levelOf)

  function put(level: number, hash: Hash): void {
    levels[level] ??= levelOf(new Uint8Array())
    const { hashes, count } = levels[level]
    hashes.set(hash, count * hashBytes)
    levels[level].count = count + 1
    if (count + 1 < tileWidth) return
    const index = size / tileWidth ** (level + 1) - 1
    full.push({ level, index, width: tileWidth, hashes: hashes.slice() })
    levels[level].count = 0
    put(level + 1, rootOfTile(hashes))
  }

  return {
    get size() {
      return size
    },
    add(leaf) {
      size++
      put(0, leaf)
    },
    addTile(root) {
      size += tileWidth
      levels[0] ??= levelOf(new Uint8Array())
      put(1, root)
    },
    take() {
      const taken = full
      full = []
      return taken
    },
    edge: () => levels.map(({ hashes, count }) => hashes.slice(0, count * hashBytes)),
    root: () =>
      rootOver(size, (subtree) => {
        const { level, offset, count } = placeOf(subtree)
        return hashOfPart(levels[level]?.hashes ?? new Uint8Array(), { offset, count })
      }),
  }
}

function levelOf(hashes: Uint8Array): { readonly hashes: Uint8Array; count: number } {
  const room = new Uint8Array(tileBytes)
  room.set(hashes)
  return { hashes: room, count: hashes.length / hashBytes }
}

/** How many hashes each level's partial tile has in a tree of this size; as many levels as it has begun. */
export function edgeWidths(size: number): readonly number[] {
  const widths: number[] = []
  for (let left = size; left > 0; left = Math.floor(left / tileWidth)) widths.push(left % tileWidth)
  return widths
}

export function edgeFits(size: number, edge: readonly Uint8Array[]): boolean {
  const widths = edgeWidths(size)
  return edge.length === widths.length && edge.every(({ length }, level) => length === (widths[level] ?? 0) * hashBytes)
}

/** A bundle of entries: each with its length before it, in two bytes. */
export function printEntries(entries: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(entries.reduce((sum, { length }) => sum + 2 + length, 0))
  let at = 0
  for (const entry of entries) {
    bytes.set([entry.length >> 8, entry.length & 0xff], at)
    bytes.set(entry, at + 2)
    at += 2 + entry.length
  }
  return bytes
}

/** Throws `InvalidArgument` where the bytes are cut off, or hold something else than entries of 32 bytes. */
export function parseEntries(bytes: Uint8Array): readonly Uint8Array[] {
  const entries: Uint8Array[] = []
  const step = 2 + hashBytes
  for (let at = 0; at < bytes.length; at += step) {
    const length = (bytes[at] ?? 0) * 256 + (bytes[at + 1] ?? 0)
    if (length !== hashBytes || at + step > bytes.length) {
      throw new InvalidArgument(
        `entries[${entries.length}]`,
        `must have ${hashBytes} bytes, and the length before them`,
      )
    }
    entries.push(bytes.slice(at + 2, at + step))
  }
  if (entries.length > tileWidth) throw new InvalidArgument('entries', `are more than ${tileWidth}`)
  return entries
}

/** The tile of level 0 that a bundle of entries stands for. */
export function leavesOf(entries: readonly Uint8Array[]): Uint8Array {
  const hashes = new Uint8Array(entries.length * hashBytes)
  for (const [at, entry] of entries.entries()) hashes.set(leafOf(entry), at * hashBytes)
  return hashes
}
