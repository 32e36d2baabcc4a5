/**
 * Proofs, as JSON that can be kept and handed on: an event's, which holds all that is needed to check it without any server,
 * and one that a digest extends another. Checking needs a verifier key, and runs anywhere.
 */

import { checkObject } from './argument.ts'
import { base64Of, bytesOfBase64 } from './base64.ts'
import { parseContent } from './content.ts'
import { type OpenedDigest, openDigest, rootOf } from './digest.ts'
import { isEncrypted, shownIn } from './encrypted.ts'
import { InvalidArgument } from './errors.ts'
import type { Meta } from './event.ts'
import { commitmentOf, entryOf, leafOf } from './leaf.ts'
import { ProofInvalid } from './ledger-errors.ts'
import type { LogRecord } from './storage.ts'
import { formatInstant, parseInstant } from './time.ts'
import { equalHashes, type Hash, hashBytes, provesConsistency, rootOfInclusion } from './tree.ts'

/** Bytes are in base64. */
export interface EventProof {
  readonly format: typeof eventProofFormat
  readonly stream: string
  readonly revision: number
  readonly position: number
  /** When the store recorded the event. */
  readonly time: string
  /** `forgotten`: only the entry is left, which tells nothing; `trimmed`: the content is in the archive. */
  readonly state: LogRecord['state']
  /** Canonical form of [id, type, tags, data, meta]; of an encrypted event with masks, and what is encrypted behind them. */
  readonly content?: string
  readonly salt?: string
  readonly commitment?: string
  /** What an encrypted event decrypts to, where its keys are at hand. */
  readonly plain?: { readonly content: string; readonly salt: string }
  /** What the leaf is made of. */
  readonly entry: string
  /** The hashes from the leaf up to the root, one after the other. */
  readonly path: string
  /** The signed digest that covers it. */
  readonly checkpoint: string
}

/** That the tree of `to` events begins with all of the tree of `from`. */
export interface ConsistencyProof {
  readonly format: typeof consistencyFormat
  readonly from: number
  readonly to: number
  readonly path: string
}

/** What a proof has shown: of events their content, else only that their commitment, or entry, stands at the position. */
export interface CheckedProof {
  readonly digest: OpenedDigest
  /** `masked`: of an encrypted event all but what is encrypted, in whose place are masks. */
  readonly proven: 'content' | 'masked' | 'commitment' | 'entry'
  readonly position: number
  /** Not proven, but said, where only the entry is. */
  readonly stream: string
  readonly revision: number
  readonly time: string
  readonly event?: {
    readonly id: string
    readonly type: string
    readonly tags: readonly string[]
    readonly data: unknown
    readonly meta: Meta | null
  }
}

const eventProofFormat = 'daybook/proof/1'
const consistencyFormat = 'daybook/consistency/1'
const states: readonly LogRecord['state'][] = ['stored', 'trimmed', 'forgotten', 'tombstone']

export function eventProof(
  record: LogRecord & { readonly position: number },
  { path, checkpoint }: { readonly path: readonly Hash[]; readonly checkpoint: string },
): EventProof {
  const { stream, revision, position, time, state, evidence: { salt, commitment, plain } = {} } = record
  return {
    format: eventProofFormat,
    ...{ stream, revision, position, time: formatInstant(time), state },
    ...('content' in record && { content: record.content }),
    ...(salt && { salt: base64Of(salt) }),
    ...(commitment && { commitment: base64Of(commitment) }),
    ...(plain && plain !== 'damaged' && { plain: { content: plain.content, salt: base64Of(plain.salt) } }),
    entry: base64Of(entryOfRecord(record) ?? new Uint8Array()),
    path: printPath(path),
    checkpoint,
  }
}

/** The entry of a record that was read with its evidence; undefined where the evidence is missing. */
export function entryOfRecord(record: LogRecord): Uint8Array | undefined {
  const { stream, revision, time, evidence: { commitment, entry } = {} } = record
  return commitment ? entryOf({ stream, revision, time, commitment }) : entry
}

export function consistencyProof(from: number, to: number, path: readonly Hash[]): ConsistencyProof {
  return { format: consistencyFormat, from, to, path: printPath(path) }
}

/**
 * Checks an event's proof from end to end: signature, place in the tree, time and content. Throws `ProofInvalid` with the
 * first part that does not hold, `InvalidArgument` for what is no proof.
 */
export function checkProof(proof: EventProof, verifierKeys: readonly string[]): CheckedProof {
  checkObject(proof, 'proof')
  const { format, stream, revision, position, time, state, content, plain, checkpoint } = proof
  if (format !== eventProofFormat) throw new InvalidArgument('proof.format', `must be "${eventProofFormat}"`)
  if (!states.includes(state)) throw new InvalidArgument('proof.state', `must be one of ${states.join(', ')}`)
  if (typeof stream !== 'string') throw new InvalidArgument('proof.stream', 'must be the name of a stream')
  if (content !== undefined && typeof content !== 'string') throw new InvalidArgument('proof.content', 'must be a text')
  checkWhole(revision, 'proof.revision', 1)
  checkWhole(position, 'proof.position', 1)
  const timeMs = typeof time === 'string' ? parseInstant(time, 'proof.time') : Number.NaN
  if (Number.isNaN(timeMs) || formatInstant(timeMs) !== time) {
    throw new InvalidArgument('proof.time', 'must be an instant such as 2026-01-31T09:30:00.000Z')
  }
  if (plain !== undefined) {
    checkObject(plain, 'proof.plain')
    if (typeof plain.content !== 'string') throw new InvalidArgument('proof.plain.content', 'must be a text')
  }
  const [salt, commitment] = [optionalBytes(proof.salt, 'salt'), optionalBytes(proof.commitment, 'commitment')]
  const entry = bytesAt(proof.entry, 'entry')
  const path = parsePath(proof.path, 'proof.path')
  const digest = openDigest(checkpoint, verifierKeys)
  if (position > digest.size) {
    throw new ProofInvalid('position', `Position ${position} is beyond the ${digest.size} events of the digest`)
  }
  const root = rootOfInclusion({ index: position - 1, size: digest.size, leaf: leafOf(entry), path })
  if (root === undefined || !equalHashes(root, rootOf(digest))) {
    throw new ProofInvalid('path', `It does not lead from the entry at position ${position} to the root of the digest`)
  }
  const told = { digest, position, stream, revision, time }
  if (commitment === undefined) {
    if (content !== undefined) throw new ProofInvalid('content', 'There is content, and nothing that binds it')
    return { ...told, proven: 'entry' }
  }
  if (!equalHashes(entry, entryOf({ stream, revision, time: timeMs, commitment }))) {
    throw new ProofInvalid('entry', 'It is not that of this stream, revision, time and commitment')
  }
  if (content === undefined) return { ...told, proven: 'commitment' }
  if (salt === undefined || !equalHashes(commitment, commitmentOf(salt, content))) {
    throw new ProofInvalid('content', 'It is not what the commitment was made of')
  }
  if (plain === undefined) {
    return { ...told, proven: isEncrypted(content) ? 'masked' : 'content', event: eventIn(content) }
  }
  const plainSalt = bytesAt(plain.salt, 'plain.salt')
  if (!isEncrypted(content) || !equalHashes(salt, commitmentOf(plainSalt, plain.content))) {
    throw new ProofInvalid('content', 'What is plain is not what was encrypted')
  }
  return { ...told, proven: 'content', event: eventIn(plain.content) }
}

function eventIn(content: string): NonNullable<CheckedProof['event']> {
  try {
    return parseContent(shownIn(content))
  } catch (error) {
    throw new ProofInvalid('content', `It is none of an event: ${(error as Error).message}`)
  }
}

/**
 * Checks that the digest `to` extends the digest `from`: whoever kept the old one knows that nothing that it covers was
 * changed. Throws `ProofInvalid`, `InvalidArgument`.
 */
export function checkConsistency(
  proof: ConsistencyProof,
  checkpoints: { readonly from: string; readonly to: string },
  verifierKeys: readonly string[],
): void {
  checkObject(proof, 'proof')
  checkObject(checkpoints, 'checkpoints')
  if (proof.format !== consistencyFormat) throw new InvalidArgument('proof.format', `must be "${consistencyFormat}"`)
  const path = parsePath(proof.path, 'proof.path')
  const [from, to] = [openDigest(checkpoints.from, verifierKeys), openDigest(checkpoints.to, verifierKeys)]
  if (from.origin !== to.origin) {
    throw new ProofInvalid('signature', `The digests are of two logs, "${from.origin}" and "${to.origin}"`)
  }
  if (from.size !== proof.from || to.size !== proof.to) {
    throw new ProofInvalid(
      'position',
      `It is of ${proof.from} and ${proof.to} events, the digests of ${from.size} and ${to.size}`,
    )
  }
  const [old, next] = [from, to].map((digest) => ({ size: digest.size, root: rootOf(digest) }))
  if (!old || !next || !provesConsistency(old, next, path)) {
    throw new ProofInvalid('path', `The digest of ${to.size} events does not extend the one of ${from.size}`)
  }
}

function printPath(path: readonly Hash[]): string {
  const bytes = new Uint8Array(path.length * hashBytes)
  for (const [at, hash] of path.entries()) bytes.set(hash, at * hashBytes)
  return base64Of(bytes)
}

function parsePath(text: string, path: string): readonly Hash[] {
  const bytes = typeof text === 'string' ? bytesOfBase64(text) : undefined
  if (bytes === undefined || bytes.length % hashBytes !== 0) {
    throw new InvalidArgument(path, `must be hashes of ${hashBytes} bytes, in base64`)
  }
  return Array.from({ length: bytes.length / hashBytes }, (_, at) =>
    bytes.subarray(at * hashBytes, (at + 1) * hashBytes),
  )
}

function optionalBytes(text: string | undefined, field: string): Uint8Array | undefined {
  return text === undefined ? undefined : bytesAt(text, field)
}

function bytesAt(text: string, field: string): Uint8Array {
  const bytes = typeof text === 'string' ? bytesOfBase64(text) : undefined
  if (bytes?.length !== hashBytes) throw new InvalidArgument(`proof.${field}`, `must be ${hashBytes} bytes in base64`)
  return bytes
}

function checkWhole(value: number, path: string, least: number): void {
  if (!Number.isSafeInteger(value) || value < least) throw new InvalidArgument(path, `must be ${least}, ${least + 1} …`)
}
