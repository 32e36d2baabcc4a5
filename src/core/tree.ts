/**
 * The ledger's Merkle tree (RFC 9162): what a node is, which subtrees a root or a proof is made of, and how proofs are
 * checked. Pure arithmetic over hashes of 32 bytes; where they come from is the caller's. Sizes go up to 2^53 − 1, so nothing
 * here shifts bits.
 */
import { sha256 } from './sha256.ts'

export type Hash = Uint8Array

export const hashBytes = 32

/** A complete subtree: of 2^level leaves, from leaf `index` · 2^level on. */
export interface Subtree {
  readonly level: number
  readonly index: number
}

/** Leaves from `from` up to and without `to`. */
export interface Leaves {
  readonly from: number
  readonly to: number
}

export const emptyRoot: Hash = sha256(new Uint8Array())

export function nodeOf(left: Hash, right: Hash): Hash {
  const bytes = new Uint8Array(1 + 2 * hashBytes)
  bytes[0] = 1
  bytes.set(left, 1)
  bytes.set(right, 1 + hashBytes)
  return sha256(bytes)
}

/** The complete subtrees that make up such leaves, largest first. `from` is where a node of the tree begins. */
export function subtreesOf({ from, to }: Leaves): readonly Subtree[] {
  const subtrees: Subtree[] = []
  for (let at = from; at < to; ) {
    const level = levelWithin(to - at)
    const width = 2 ** level
    subtrees.push({ level, index: at / width })
    at += width
  }
  return subtrees
}

/** The hash over leaves, of which there is at least one, out of those of their complete subtrees. */
export function hashOver(leaves: Leaves, hashAt: (subtree: Subtree) => Hash): Hash {
  return subtreesOf(leaves)
    .map(hashAt)
    .reduceRight((right, left) => nodeOf(left, right))
}

export function rootOver(size: number, hashAt: (subtree: Subtree) => Hash): Hash {
  return size === 0 ? emptyRoot : hashOver({ from: 0, to: size }, hashAt)
}

/** Over which leaves the hashes of an inclusion proof are, in its order: from the leaf up to the root. */
export function auditPath(index: number, size: number): readonly Leaves[] {
  const path: Leaves[] = []
  for (let [from, to] = [0, size]; to - from > 1; ) {
    const middle = from + splitOf(to - from)
    if (index < middle) {
      path.push({ from: middle, to })
      to = middle
    } else {
      path.push({ from, to: middle })
      from = middle
    }
  }
  return path.reverse()
}

/** Over which leaves the hashes of a proof are that the tree of `size` leaves extends the one of its first `old`, of at least one. */
export function consistencyPath(old: number, size: number): readonly Leaves[] {
  const path: Leaves[] = []
  let [from, to] = [0, size]
  while (to !== old) {
    const middle = from + splitOf(to - from)
    if (old <= middle) {
      path.push({ from: middle, to })
      to = middle
    } else {
      path.push({ from, to: middle })
      from = middle
    }
  }
  // The whole of the old tree is known to whoever has its root.
  if (from > 0) path.push({ from, to })
  return path.reverse()
}

/** The root to which a proof leads; undefined where a proof of this leaf has another length. */
export function rootOfInclusion({
  index,
  size,
  leaf,
  path,
}: {
  readonly index: number
  readonly size: number
  readonly leaf: Hash
  readonly path: readonly Hash[]
}): Hash | undefined {
  const ranges = auditPath(index, size)
  if (index >= size || path.length !== ranges.length) return undefined
  return rootOfPath({ from: index, hash: leaf }, ranges, path)
}

/** Up from the hash of a node that begins at a leaf, along what lies beside it. */
export function rootOfPath(
  { from, hash }: { readonly from: number; readonly hash: Hash },
  ranges: readonly Leaves[],
  path: readonly Hash[],
): Hash {
  return path.reduce(
    (own, other, at) => ((ranges[at]?.from ?? 0) > from ? nodeOf(own, other) : nodeOf(other, own)),
    hash,
  )
}

export interface Tree {
  readonly size: number
  readonly root: Hash
}

/** Whether the proof shows that the tree `next` begins with all of the tree `old`. */
export function provesConsistency(old: Tree, next: Tree, path: readonly Hash[]): boolean {
  if (old.size > next.size) return false
  if (old.size === 0) return path.length === 0 && equalHashes(old.root, emptyRoot)
  const ranges = consistencyPath(old.size, next.size)
  if (path.length !== ranges.length) return false
  const first = ranges[0]
  // Where the old tree is no subtree of the new one, the proof begins with the last subtree that both have.
  const shared = first !== undefined && first.to === old.size
  const start = shared ? path[0] : old.root
  if (start === undefined) return false
  let [oldHash, nextHash] = [start, start]
  for (let at = shared ? 1 : 0; at < path.length; at++) {
    const [other, leaves] = [path[at], ranges[at]]
    if (other === undefined || leaves === undefined) return false
    if (leaves.from >= old.size) nextHash = nodeOf(nextHash, other)
    else [oldHash, nextHash] = [nodeOf(other, oldHash), nodeOf(other, nextHash)]
  }
  return equalHashes(oldHash, old.root) && equalHashes(nextHash, next.root)
}

export function equalHashes(left: Hash, right: Hash): boolean {
  if (left.length !== right.length) return false
  for (let at = 0; at < left.length; at++) if (left[at] !== right[at]) return false
  return true
}

/** The largest power of two below a number of leaves, of at least two. */
function splitOf(leaves: number): number {
  return 2 ** levelWithin(leaves - 1)
}

/** Of the largest complete subtree that so many leaves have room for. Logarithms of large numbers are rounded. */
function levelWithin(leaves: number): number {
  const level = Math.floor(Math.log2(leaves))
  return 2 ** level > leaves ? level - 1 : level
}
