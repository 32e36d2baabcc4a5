/**
 * The digest: size and root of the log's tree at a moment, as a text (C2SP tlog-checkpoint) and signed. Whoever has kept one
 * can prove what was in the log then, and that nothing of it was changed since.
 */
import { base64Of, bytesOfBase64 } from './base64.ts'
import { InvalidArgument } from './errors.ts'
import { ProofInvalid } from './ledger-errors.ts'
import { openNote, type Signer, signNote, type Verified, verifierOf } from './note.ts'
import { type Hash, hashBytes } from './tree.ts'

export interface Digest {
  /** Which log: the name of the key that signs. */
  readonly origin: string
  /** Events that it covers: those at positions 1 up to this. */
  readonly size: number
  /** Of the Merkle tree over them, in base64. */
  readonly root: string
}

export interface SignedDigest extends Digest {
  /** The digest as a signed note: what to keep, and to hand to others. */
  readonly checkpoint: string
}

/** One whose signature was found right. */
export interface OpenedDigest extends SignedDigest {
  /** Lines under the root, of which Daybook writes none. */
  readonly extensions: readonly string[]
  /** By which of the keys given. */
  readonly signatures: readonly Verified[]
}

export function digestOf(origin: string, { size, root }: { readonly size: number; readonly root: Hash }): Digest {
  return { origin, size, root: base64Of(root) }
}

export function printDigest({ origin, size, root }: Digest): string {
  return `${origin}\n${size}\n${root}\n`
}

/** Throws `InvalidArgument` for what is no digest. */
export function parseDigest(text: string): Digest & Pick<OpenedDigest, 'extensions'> {
  const [origin = '', size = '', root = '', ...extensions] = text.slice(0, -1).split('\n')
  if (!text.endsWith('\n') || origin === '')
    throw new InvalidArgument('digest', 'must begin with a line that says of which log')
  if (!/^(0|[1-9]\d*)$/.test(size) || !Number.isSafeInteger(Number(size))) {
    throw new InvalidArgument('digest, line 2', 'must be the number of events')
  }
  if (bytesOfBase64(root)?.length !== hashBytes) {
    throw new InvalidArgument('digest, line 3', `must be the root: ${hashBytes} bytes in base64`)
  }
  if (extensions.includes('')) throw new InvalidArgument('digest', 'has an empty line')
  return { origin, size: Number(size), root, extensions }
}

export function rootOf({ root }: Digest): Hash {
  return bytesOfBase64(root) ?? new Uint8Array()
}

export async function signDigest(digest: Digest, signer: Signer): Promise<SignedDigest> {
  return { ...digest, checkpoint: await signNote(printDigest(digest), signer) }
}

/** What it says, without looking at its signatures. Throws `InvalidArgument`. */
export function readDigest(checkpoint: string): SignedDigest {
  const end = typeof checkpoint === 'string' ? checkpoint.lastIndexOf('\n\n') : -1
  if (end < 0) throw new InvalidArgument('checkpoint', 'must be a signed note')
  const { origin, size, root } = parseDigest(checkpoint.slice(0, end + 1))
  return { origin, size, root, checkpoint }
}

/**
 * Checks the signatures of a checkpoint: the log's own must be there, beside which keys of witnesses may be given. Throws
 * `InvalidArgument` for what is no checkpoint or no key, `ProofInvalid` for one that these keys have not signed.
 */
export function openDigest(checkpoint: string, verifierKeys: readonly string[]): OpenedDigest {
  const verifiers = verifierKeys.map((key, at) => verifierOf(key, `verifierKeys[${at}]`))
  const { text, verified } = openNote(checkpoint, verifiers)
  const digest = parseDigest(text)
  if (!verified.some(({ name, cosignedAt }) => name === digest.origin && cosignedAt === undefined)) {
    throw new ProofInvalid('signature', `The log "${digest.origin}" has not signed its digest with a key that is known`)
  }
  return { ...digest, checkpoint, signatures: verified }
}

/** Checked by the keys, where there are some. */
export function keptDigest(checkpoint: string, keys: readonly string[]): SignedDigest {
  if (keys.length > 0) openDigest(checkpoint, keys)
  return readDigest(checkpoint)
}
