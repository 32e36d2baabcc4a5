/**
 * The proof of a journal: each block's hash binds its transaction, its revisions and the block before. What is held here
 * is what Amazon published of it, in its guide and in its samples; some hashes of a block are of QLDB's own records, which no
 * export shows.
 */
import { InvalidArgument } from '../core/errors.ts'
import type { Block, DocumentInfo, Revision, RevisionBody, TransactionInfo } from './block.ts'
import { hashBytes } from './fields.ts'
import { ionHash, sha256 } from './ion-hash.ts'

export interface Chain {
  /**
   * Throws `InvalidArgument` with the part of the block that breaks the chain. Blocks come in their order. Gives the revisions
   * that cannot be proven, by their indexes: of a block in Ion none.
   */
  verify(block: Block, format?: 'ion' | 'json'): ReadonlySet<number>
  /** The block that was verified last. */
  last(): Block | undefined
}

/** The first block is taken as it is: what came before it is not known. */
export function createChain(): Chain {
  let previous: Block | undefined
  const versions = new Map<string, number>()
  let sinceFirst = false
  return {
    verify(block, format = 'ion') {
      verifyPlace(block, previous)
      const unproven = verifyHashes(block, format)
      sinceFirst ||= block.sequenceNo === 0
      verifyRevisions(block, (id) => versions.get(id) ?? (sinceFirst ? -1 : undefined))
      for (const { body } of block.revisions) if (body) versions.set(body.id, body.version)
      previous = block
      return unproven
    },
    last: () => previous,
  }
}

function verifyPlace({ strandId, sequenceNo, previousBlockHash }: Block, previous: Block | undefined): void {
  if (previous === undefined) {
    if (sequenceNo > 0 && previousBlockHash.length === 0) {
      throw new InvalidArgument('previousBlockHash', 'is empty, as only in the first block of a journal')
    }
    return
  }
  if (strandId !== previous.strandId) {
    throw new InvalidArgument(
      'blockAddress.strandId',
      `is ${strandId}, and the block before is of ${previous.strandId}`,
    )
  }
  if (sequenceNo !== previous.sequenceNo + 1) {
    throw new InvalidArgument('blockAddress.sequenceNo', `is ${sequenceNo}, and ${previous.sequenceNo + 1} must follow`)
  }
  if (!equal(previousBlockHash, previous.blockHash)) {
    throw new InvalidArgument('previousBlockHash', 'is not the hash of the block before: the chain is broken here')
  }
}

function verifyHashes(block: Block, format: 'ion' | 'json'): ReadonlySet<number> {
  const { entriesHashList, transaction, redaction, revisions } = block
  const unproven = new Set<number>()
  const isEntry = (hash: Uint8Array) => entriesHashList.some((entry) => equal(entry, hash))
  if (transaction && !isEntry(ionHash(transaction.ion))) {
    if (format === 'json') for (const at of revisions.keys()) unproven.add(at)
    else throw new InvalidArgument('transactionInfo', 'was changed: its hash is not in entriesHashList')
  }
  if (redaction && !isEntry(ionHash(redaction.ion))) {
    throw new InvalidArgument('redactionInfo', 'was changed: its hash is not in entriesHashList')
  }
  for (const [at, revision] of revisions.entries()) {
    if (isProven(revision, transaction)) continue
    if (format === 'json') unproven.add(at)
    else {
      throw new InvalidArgument(`revisions[${at}]`, 'was changed: its hash is not that of its metadata and data')
    }
  }
  if (revisions.length > 0 && !isEntry(rootOf(revisions.map(({ hash }) => hash)))) {
    throw new InvalidArgument('revisions', 'were changed: the root of their hashes is not in entriesHashList')
  }
  if (!equal(block.entriesHash, rootOf(entriesHashList))) {
    throw new InvalidArgument('entriesHash', 'is not the root of entriesHashList')
  }
  if (!equal(block.blockHash, dot(block.entriesHash, block.previousBlockHash))) {
    throw new InvalidArgument('blockHash', 'is not the hash of entriesHash and previousBlockHash')
  }
  return unproven
}

function isProven({ hash, body }: Revision, transaction: TransactionInfo | undefined): boolean {
  if (body === undefined) return true
  const metadataHash = ionHash(body.metadata)
  if (body.dataHash !== undefined) return body.data === undefined && equal(hash, dot(metadataHash, body.dataHash))
  if (body.data !== undefined) return equal(hash, dot(metadataHash, ionHash(body.data)))
  // How the hash of a deletion is made was never written down; Amazon's sample takes the hash of nothing for the data's.
  // Where another was taken, the transaction, which is proven, has to say that it has deleted the document.
  return [sha256(nothing), nothing].some((data) => equal(hash, dot(metadataHash, data))) || isDeleted(body, transaction)
}

const nothing = new Uint8Array()

function isDeleted({ id }: Pick<RevisionBody, 'id'>, transaction: TransactionInfo | undefined): boolean {
  const document = transaction?.documents.get(id)
  return document?.statements.some((at) => deletes(transaction, at)) ?? false
}

function deletes(transaction: TransactionInfo | undefined, at: number): boolean {
  return /^\s*delete\b/i.test(transaction?.statements[at]?.statement ?? '')
}

/**
 * What hashes alone do not show: a block robbed of its transaction and its revisions looks like one of QLDB's own, and
 * a revision robbed of all but its hash likewise. The documents of the transaction, and the versions, tell.
 */
function verifyRevisions(block: Block, versionBefore: (id: string) => number | undefined): void {
  const { transaction, redaction } = block
  const seen = new Map<string, number>()
  for (const [at, { body }] of block.revisions.entries()) {
    if (body === undefined) continue
    const path = `revisions[${at}]`
    const document = transaction?.documents.get(body.id)
    if (document === undefined) {
      throw new InvalidArgument(`${path}.metadata.id`, `is ${body.id}, which transactionInfo.documents does not name`)
    }
    if (body.strandId !== block.strandId || body.sequenceNo !== block.sequenceNo) {
      throw new InvalidArgument(`${path}.blockAddress`, 'is that of another block')
    }
    if (body.txId !== block.transactionId) {
      throw new InvalidArgument(`${path}.metadata.txId`, `is ${body.txId}, and the block's is ${block.transactionId}`)
    }
    verifyVersion(body, { before: seen.get(body.id) ?? versionBefore(body.id), document, path })
    seen.set(body.id, body.version)
  }
  for (const [id, { statements }] of transaction?.documents ?? []) {
    // What one transaction has made and deleted again may leave no revision.
    const passing = statements.length > 1 && isDeleted({ id }, transaction)
    if (!seen.has(id) && !passing && !redaction?.documents.has(id)) {
      throw new InvalidArgument(`transactionInfo.documents.${id}`, 'was changed by a revision that is not in the block')
    }
  }
}

interface Versioned {
  /** −1: there was none. Absent where that is not known. */
  readonly before: number | undefined
  readonly document: DocumentInfo
  readonly path: string
}

function verifyVersion({ version }: RevisionBody, { before, document, path }: Versioned): void {
  // One revision may stand for all that the statements of its transaction have done.
  const steps = Math.max(1, document.statements.length)
  if (before === undefined || (version > before && version <= before + steps)) return
  const told = before < 0 ? 'there was none before' : `the one before was ${before}`
  throw new InvalidArgument(`${path}.metadata.version`, `is ${version}, and ${told}`)
}

/** The root of a binary tree over the hashes; an odd one out goes up as it is. */
export function rootOf(hashes: readonly Uint8Array[]): Uint8Array {
  if (hashes.length <= 1) return hashes[0] ?? nothing
  const above: Uint8Array[] = []
  for (let at = 0; at < hashes.length; at += 2) {
    above.push(dot(hashes[at] ?? nothing, hashes[at + 1] ?? nothing))
  }
  return rootOf(above)
}

/** The hash of both, the smaller one first; of one that is empty, the other. */
export function dot(left: Uint8Array, right: Uint8Array): Uint8Array {
  if (left.length === 0) return right
  if (right.length === 0) return left
  return sha256(Buffer.concat(compare(left, right) < 0 ? [left, right] : [right, left]))
}

/** QLDB's order of hashes: by bytes with a sign, the last one first. */
function compare(left: Uint8Array, right: Uint8Array): number {
  for (let at = hashBytes - 1; at >= 0; at--) {
    const difference = signed(left[at]) - signed(right[at])
    if (difference !== 0) return difference
  }
  return 0
}

function signed(byte = 0): number {
  return byte < 0x80 ? byte : byte - 0x100
}

function equal(left: Uint8Array, right: Uint8Array): boolean {
  return Buffer.compare(left, right) === 0
}
