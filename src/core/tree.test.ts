import { readFileSync } from 'node:fs'
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { base64Of, bytesOfBase64 } from './base64.ts'
import { leafOf } from './leaf.ts'
import {
  growTree,
  hashIn,
  hashOfPart,
  leavesOf,
  parseEntries,
  parseTilePath,
  placeOf,
  printEntries,
  type Tile,
  tilePath,
} from './tile.ts'
import {
  auditPath,
  consistencyPath,
  emptyRoot,
  equalHashes,
  type Hash,
  hashOver,
  type Leaves,
  nodeOf,
  provesConsistency,
  rootOfInclusion,
  rootOver,
  type Subtree,
} from './tree.ts'

/** Made by Go's `sumdb/tlog`; `fixtures/ledger.go.txt` is the program. */
const fixture = JSON.parse(readFileSync(new URL('fixtures/ledger.json', import.meta.url), 'utf8'))
const small = 300

const entryAt = (index: number) => sha256(utf8ToBytes(`record ${index}`))
const leaves = Array.from({ length: fixture.large.size }, (_, index) => leafOf(entryAt(index)))

/** The tree by its definition, without any of the code under test but the hash of a node. */
const subtrees = new Map<string, Hash>()
function hashAt({ level, index }: Subtree): Hash {
  if (level === 0) return leaves[index] as Hash
  const key = `${level}/${index}`
  const hash =
    subtrees.get(key) ??
    nodeOf(hashAt({ level: level - 1, index: 2 * index }), hashAt({ level: level - 1, index: 2 * index + 1 }))
  subtrees.set(key, hash)
  return hash
}
const hashesOf = (path: readonly Leaves[]) => path.map((range) => hashOver(range, hashAt))
const rootAt = (size: number) => rootOver(size, hashAt)

/** As the fixtures have it: of each proof how long it is, and its hashes. */
function summed(proofs: readonly (readonly Hash[])[]): string {
  const parts = proofs.flatMap((proof) => [Uint8Array.of(proof.length >> 8, proof.length & 255), ...proof])
  return bytesToHex(sha256(concatBytes(...parts)))
}

test('roots of all sizes from 0 to 300, and of 70,000, are those of Go', () => {
  for (let size = 0; size <= small; size++) expect(base64Of(rootAt(size)), `${size}`).toBe(fixture.roots[size])
  expect(base64Of(rootAt(fixture.large.size))).toBe(fixture.large.root)
})

test('every inclusion and consistency proof of the sizes 0 to 300 is the one of Go, and holds', () => {
  for (let size = 0; size <= small; size++) {
    const inclusion = leaves.slice(0, size).map((_, index) => hashesOf(auditPath(index, size)))
    expect(summed(inclusion), `inclusion, ${size}`).toBe(fixture.inclusion[size])
    const consistency = leaves.slice(0, size).map((_, index) => hashesOf(consistencyPath(index + 1, size)))
    expect(summed(consistency), `consistency, ${size}`).toBe(fixture.consistency[size])
    if (size % 7 > 0) continue
    const next = { size, root: rootAt(size) }
    for (let index = 0; index < size; index++) {
      const [path = [], leaf = emptyRoot] = [inclusion[index], leaves[index]]
      expect(equalHashes(rootOfInclusion({ index, size, leaf, path }) ?? emptyRoot, next.root)).toBe(true)
      const old = { size: index + 1, root: rootAt(index + 1) }
      expect(provesConsistency(old, next, consistency[index] ?? [])).toBe(true)
    }
  }
})

test('proofs in a tree of three levels of tiles are those of Go', () => {
  const { size, records, trees } = fixture.large
  for (const { index, proof } of records) expect(hashesOf(auditPath(index, size)).map(base64Of)).toEqual(proof)
  for (const { size: old, root, proof } of trees) {
    const path = hashesOf(consistencyPath(old, size))
    expect(path.map(base64Of)).toEqual(proof)
    const tree = { size: old, root: bytesOfBase64(root) ?? emptyRoot }
    expect(provesConsistency(tree, { size, root: rootAt(size) }, path)).toBe(true)
  }
})

test('a proof of which any bit is flipped, or that is longer or shorter, holds no more', () => {
  fc.assert(
    fc.property(fc.integer({ min: 2, max: small }), fc.nat(), fc.nat(), (size, which, bit) => {
      const index = which % size
      const leaf = leaves[index] as Hash
      const root = rootAt(size)
      const path = hashesOf(auditPath(index, size))
      const holds = (path: readonly Hash[], leafHash = leaf, at = index) => {
        const found = rootOfInclusion({ index: at, size, leaf: leafHash, path })
        return found !== undefined && equalHashes(found, root)
      }
      expect(holds(path)).toBe(true)
      expect(holds(flipped(path, bit))).toBe(false)
      expect(holds(path, flipped([leaf], bit)[0])).toBe(false)
      expect(holds(path, leaf, (index + 1) % size)).toBe(false)
      expect(holds([...path, leaf])).toBe(false)
      expect(holds(path.slice(1))).toBe(false)

      const old = { size: index + 1, root: rootAt(index + 1) }
      const next = { size, root }
      const proof = hashesOf(consistencyPath(old.size, size))
      expect(provesConsistency(old, next, proof)).toBe(true)
      expect(provesConsistency({ ...old, root: flipped([old.root], bit)[0] as Hash }, next, proof)).toBe(false)
      expect(provesConsistency(old, { size, root: flipped([root], bit)[0] as Hash }, proof)).toBe(false)
      expect(provesConsistency(old, next, [...proof, leaf])).toBe(false)
      expect(provesConsistency({ ...old, size: size + 1 }, next, proof)).toBe(false)
      if (proof.length > 0) {
        expect(provesConsistency(old, next, flipped(proof, bit))).toBe(false)
        expect(provesConsistency(old, next, proof.slice(1))).toBe(false)
      }
    }),
    { numRuns: 300 },
  )
})

function flipped(path: readonly Hash[], bit: number): readonly Hash[] {
  const copies = path.map((hash) => hash.slice())
  const byte = (bit >> 3) % (32 * path.length)
  const hash = copies[byte >> 5] as Hash
  hash[byte & 31] = (hash[byte & 31] ?? 0) ^ (1 << (bit & 7))
  return copies
}

test('paths in trees of up to 2^53 − 1 leaves end where they must', () => {
  const size = Number.MAX_SAFE_INTEGER
  for (const index of [0, 1, 2 ** 32, 2 ** 52, 2 ** 52 + 2 ** 31, size - 1]) {
    const path = auditPath(index, size)
    expect(path.length).toBeLessThanOrEqual(53)
    const covered = path.reduce((sum, { from, to }) => sum + (to - from), 1)
    expect(covered).toBe(size)
    expect(consistencyPath(index + 1, size).length).toBeLessThanOrEqual(54)
  }
})

test('a tree that grows gives the tiles of Go, and from them and its edge every hash is found again', () => {
  const tree = growTree({ size: 0, edge: [] })
  for (const leaf of leaves) tree.add(leaf)
  expect(base64Of(tree.root())).toBe(fixture.large.root)
  const tiles = new Map(tree.take().map((tile) => [`${tile.level}/${tile.index}`, tile.hashes]))
  expect(tiles.size).toBe(273 + 1)
  const edge = tree.edge()
  const tileAt = (level: number, index: number) => tiles.get(`${level}/${index}`) ?? edge[level] ?? new Uint8Array()
  for (const { path, level, index, width, sha256: hash } of fixture.large.tiles) {
    expect(tilePath({ level, index, width })).toBe(path)
    // What Go was asked for may be wider by now.
    expect(bytesToHex(sha256(tileAt(level, index).slice(0, width * 32))), path).toBe(hash)
  }
  for (const subtree of [0, 1, 7, 8, 9, 15, 16].map((level) => ({
    level,
    index: Math.floor(69_999 / 2 ** level) - 1,
  }))) {
    if (subtree.index < 0) continue
    const { level, index, ...part } = placeOf(subtree)
    expect(hashOfPart(tileAt(level, index), part)).toEqual(hashAt(subtree))
  }
  expect(hashIn(edge[2] ?? new Uint8Array(), 0)).toEqual(hashAt({ level: 16, index: 0 }))
})

test('a tree goes on from its edge, wherever it was left', () => {
  let state = { size: 0, edge: [] as readonly Uint8Array[] }
  const tiles: Tile[] = []
  for (const until of [1, 255, 256, 257, 300, 512, 1_000, 65_535, 65_536, 65_537, 70_000]) {
    const tree = growTree(state)
    for (const leaf of leaves.slice(state.size, until)) tree.add(leaf)
    expect(tree.root(), `${until}`).toEqual(rootAt(until))
    tiles.push(...tree.take())
    state = { size: tree.size, edge: tree.edge() }
  }
  expect(tiles.map(({ level, index }) => `${level}/${index}`)).toHaveLength(274)
})

test('names of tiles are those of the specification, and nothing else is one', () => {
  for (const { path, ...tile } of fixture.paths) {
    const level = tile.level < 0 ? 'entries' : tile.level
    expect(tilePath({ ...tile, level })).toBe(path)
    expect(parseTilePath(path)).toEqual({ ...tile, level })
  }
  for (const path of [
    ...['', 'tile', 'tile/0', 'tile/0/', 'tile/0/0', 'tile/0/1000', 'tile/0/x001', 'tile/0/x000/001', 'tile/00/001'],
    ...['tile/0/001/', '/tile/0/001', 'tile/-1/001', 'tile/data/001', 'tile/0/001.p/0', 'tile/0/001.p/256'],
    ...[
      'tile/0/001.p/01',
      'tile/0/001.p/',
      'tile/0/x1/001',
      'tile/0/x999/x999/x999/x999/x999/999',
      'tile/0/001\n',
      'tile/123/001',
    ],
  ]) {
    expect(() => parseTilePath(path), path).toThrow('must be the path of a tile')
  }
})

test('a bundle of entries comes back as it was; one that is cut off or holds something else is refused', () => {
  const entries = [0, 1, 2].map(entryAt)
  const bytes = printEntries(entries)
  expect(bytes.length).toBe(3 * 34)
  expect(bytesToHex(bytes.subarray(0, 4))).toBe(`0020${bytesToHex((entries[0] as Uint8Array).subarray(0, 2))}`)
  expect(parseEntries(bytes)).toEqual(entries)
  expect(leavesOf(entries)).toEqual(concatBytes(...leaves.slice(0, 3)))
  for (const bad of [bytes.slice(0, -1), bytes.slice(1), concatBytes(bytes, Uint8Array.of(0)), new Uint8Array(2)]) {
    expect(() => parseEntries(bad)).toThrow('must have 32 bytes')
  }
  expect(() => parseEntries(printEntries(Array.from({ length: 257 }, () => entryAt(0))))).toThrow('more than 256')
})

test('base64 is strict: other texts for the same bytes are none', () => {
  fc.assert(
    fc.property(fc.uint8Array(), (bytes) => {
      expect(bytesOfBase64(base64Of(bytes))).toEqual(bytes)
    }),
  )
  const large = Uint8Array.from({ length: 100_000 }, (_, at) => at % 251)
  expect(bytesOfBase64(base64Of(large))).toEqual(large)
  for (const bad of ['A', 'AA', 'AAA', 'AB==', 'AAB=', 'AA=A', '====', 'AA==\n', ' AAA', 'AA-_', 'AAAA=', '=AAA']) {
    expect(bytesOfBase64(bad), bad).toBeUndefined()
  }
})
