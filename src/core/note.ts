/**
 * Signed notes (C2SP signed-note): a text, and lines of signatures under it, each by a key with a name. Signatures of keys
 * that the reader does not know are left aside; one of a known key that does not fit is an error. Keys are texts, as Go's
 * `note` package writes them: `<name>+<id>+<base64>`, and to sign `PRIVATE+KEY+<name>+<id>+<base64>`.
 */
import { ed25519 } from '@noble/curves/ed25519.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, concatBytes } from '@noble/hashes/utils.js'
import { base64Of, bytesOfBase64 } from './base64.ts'
import { utf8 } from './encoding.ts'
import { InvalidArgument } from './errors.ts'
import { type Random, secureRandom } from './id.ts'
import { ProofInvalid } from './ledger-errors.ts'
import { limits } from './limits.ts'

/** What signs a log's digests: a key in the process, or one that a key service keeps. */
export interface Signer {
  /** By which everybody can verify. Its name is the origin of the digests. */
  readonly verifierKey: string
  /** Ed25519 over the bytes: 64 bytes. */
  sign(bytes: Uint8Array): Promise<Uint8Array>
}

export interface NoteSignature {
  readonly name: string
  /** First four bytes of a hash over name and key, as 8 hex digits. */
  readonly keyId: string
  readonly signature: Uint8Array
}

export interface Note {
  /** Ends with a line feed. */
  readonly text: string
  readonly signatures: readonly NoteSignature[]
}

/** A signature that was found right. */
export interface Verified {
  readonly name: string
  readonly keyId: string
  /** Of a witness: when it signed, in epoch seconds. */
  readonly cosignedAt?: number
}

export interface Verifier {
  readonly name: string
  readonly keyId: string
  /** Of a witness: it says that it has seen a digest, and when; it cannot sign one in a log's name. */
  readonly cosigns: boolean
  /** Undefined where the signature is not one of this key over the text. */
  verify(text: string, signature: Uint8Array): Verified | undefined
}

const plainAlgorithm = 1
const cosignatureAlgorithm = 4
const keyBytes = 32
const signatureBytes = 64
const timeBytes = 8

/** From the text of a verifier key, of a log or of a witness. Throws `InvalidArgument`. */
export function verifierOf(key: string, path = 'verifierKey'): Verifier {
  const { name, keyId, algorithm, bytes } = parseKey(key, path)
  if (keyId !== keyIdOf(name, algorithm, bytes)) throw new InvalidArgument(path, 'has an id that is not its own')
  const right = (message: Uint8Array, signature: Uint8Array) =>
    ed25519.verify(signature, message, bytes, { zip215: false })
  switch (algorithm) {
    case plainAlgorithm:
      return {
        ...{ name, keyId, cosigns: false },
        verify: (text, signature) =>
          signature.length === signatureBytes && right(utf8(text), signature) ? { name, keyId } : undefined,
      }
    case cosignatureAlgorithm:
      return {
        ...{ name, keyId, cosigns: true },
        verify(text, signature) {
          if (signature.length !== timeBytes + signatureBytes) return undefined
          const cosignedAt = Number(new DataView(signature.buffer, signature.byteOffset).getBigUint64(0))
          return right(cosignedText(text, cosignedAt), signature.subarray(timeBytes))
            ? { name, keyId, cosignedAt }
            : undefined
        },
      }
    default:
      throw new InvalidArgument(path, `is of algorithm ${algorithm}; known are 1 (Ed25519) and 4 (cosignature/v1)`)
  }
}

/** From the text of a signer key, of a log or of a witness. Throws `InvalidArgument`, with nothing of the key in the message. */
export function signerOf(key: string): Signer {
  const path = 'signerKey'
  const prefix = 'PRIVATE+KEY+'
  if (typeof key !== 'string' || !key.startsWith(prefix)) throw new InvalidArgument(path, `must begin with "${prefix}"`)
  const { name, keyId, algorithm, bytes: seed } = parseKey(key.slice(prefix.length), path)
  if (algorithm !== plainAlgorithm && algorithm !== cosignatureAlgorithm)
    throw new InvalidArgument(path, `is of algorithm ${algorithm}; known are 1 (Ed25519) and 4 (cosignature/v1)`)
  const publicKey = ed25519.getPublicKey(seed)
  if (keyId !== keyIdOf(name, algorithm, publicKey)) throw new InvalidArgument(path, 'has an id that is not its own')
  return {
    verifierKey: printKey({ name, keyId, algorithm, bytes: publicKey }),
    sign: async (bytes) => ed25519.sign(bytes, seed),
  }
}

export interface LedgerKeys {
  /** Secret: whoever has it can sign digests in the log's name. */
  readonly signerKey: string
  /** Public: whoever has it can verify. */
  readonly verifierKey: string
}

/** A new pair of keys. The name says whose log it is, best as a domain with a path: `acme.example/permits`. */
export function newLedgerKeys(name: string, random: Random = secureRandom()): LedgerKeys {
  return newKeys({ name, algorithm: plainAlgorithm, random })
}

/** A new pair of keys for a witness of other logs, likewise. */
export function newWitnessKeys(name: string, random: Random = secureRandom()): LedgerKeys {
  return newKeys({ name, algorithm: cosignatureAlgorithm, random })
}

function newKeys({
  name,
  algorithm,
  random,
}: Pick<Key, 'name' | 'algorithm'> & { readonly random: Random }): LedgerKeys {
  checkKeyName(name, 'name')
  const seed = random(keyBytes)
  const publicKey = ed25519.getPublicKey(seed)
  const key = { name, algorithm, keyId: keyIdOf(name, algorithm, publicKey) }
  return {
    signerKey: `PRIVATE+KEY+${printKey({ ...key, bytes: seed })}`,
    verifierKey: printKey({ ...key, bytes: publicKey }),
  }
}

/** The text, which must end with a line feed, with one signature under it. */
export async function signNote(text: string, signer: Signer): Promise<string> {
  const { name, keyId, verify } = verifierOf(signer.verifierKey, 'signer.verifierKey')
  checkText(text)
  const signature = await signer.sign(utf8(text))
  if (!verify(text, signature)) {
    throw new ProofInvalid('signature', `What "${name}" has signed with is not the key ${keyId} that it says`)
  }
  return printNote({ text, signatures: [{ name, keyId, signature }] })
}

/** The note with one more signature: of a witness, who says by it that he has seen it at this moment, in epoch seconds. */
export async function cosignNote(note: string, signer: Signer, at: number): Promise<string> {
  const { name, keyId, cosigns, verify } = verifierOf(signer.verifierKey, 'signer.verifierKey')
  if (!cosigns) throw new InvalidArgument('signer', `"${name}" is the key of a log; a witness has one of its own`)
  const { text, signatures } = parseNote(note)
  const time = new Uint8Array(timeBytes)
  new DataView(time.buffer).setBigUint64(0, BigInt(at))
  const signature = concatBytes(time, await signer.sign(cosignedText(text, at)))
  if (!verify(text, signature)) {
    throw new ProofInvalid('signature', `What "${name}" has signed with is not the key ${keyId} that it says`)
  }
  return printNote({ text, signatures: [...signatures, { name, keyId, signature }] })
}

function cosignedText(text: string, at: number): Uint8Array {
  return utf8(`cosignature/v1\ntime ${at}\n${text}`)
}

export function printNote({ text, signatures }: Note): string {
  const lines = signatures.map(({ name, keyId, signature }) => {
    return `— ${name} ${base64Of(concatBytes(bytesOfId(keyId), signature))}\n`
  })
  return `${text}\n${lines.join('')}`
}

/** Throws `InvalidArgument` where the text is no signed note; says nothing of whether its signatures are right. */
export function parseNote(note: string): Note {
  if (typeof note !== 'string' || note.length > limits.noteCharacters) {
    throw new InvalidArgument('note', `must be a text of at most ${limits.noteCharacters} characters`)
  }
  const end = note.lastIndexOf('\n\n')
  if (end < 0) throw new InvalidArgument('note', 'has no empty line between its text and its signatures')
  const text = note.slice(0, end + 1)
  const rest = note.slice(end + 2)
  checkText(text)
  if (!rest.endsWith('\n')) throw new InvalidArgument('note', 'must end with a line of a signature, and a line feed')
  const lines = rest.slice(0, -1).split('\n')
  if (lines.length > limits.noteSignatures) {
    throw new InvalidArgument('note', `has more than ${limits.noteSignatures} signatures`)
  }
  return { text, signatures: lines.map(parseSignature) }
}

/**
 * The text, and which of the verifiers' keys have signed it. Throws `ProofInvalid` where none of them has, or a signature in
 * the name of one of them is not its own.
 */
export function openNote(
  note: string,
  verifiers: readonly Verifier[],
): { readonly text: string; readonly verified: readonly Verified[] } {
  const { text, signatures } = parseNote(note)
  const verified: Verified[] = []
  for (const { name, keyId, signature } of signatures) {
    const verifier = verifiers.find((verifier) => verifier.name === name && verifier.keyId === keyId)
    if (verifier === undefined || verified.some((each) => each.name === name && each.keyId === keyId)) continue
    const right = verifier.verify(text, signature)
    if (!right) throw new ProofInvalid('signature', `The signature of "${name}" (key ${keyId}) does not fit the text`)
    verified.push(right)
  }
  if (verified.length === 0) {
    const known = verifiers.map(({ name, keyId }) => `${name} ${keyId}`).join(', ') || 'none'
    const found = signatures.map(({ name, keyId }) => `${name} ${keyId}`).join(', ')
    throw new ProofInvalid('signature', `No key that is known has signed it (known: ${known}; signed by: ${found})`)
  }
  return { text, verified }
}

function parseSignature(line: string, index: number): NoteSignature {
  const [, name, base64 = ''] = /^— ([^ ]+) ([^ ]+)$/.exec(line) ?? []
  const bytes = bytesOfBase64(base64)
  if (name === undefined || !isKeyName(name) || bytes === undefined || bytes.length < 5) {
    throw new InvalidArgument(
      `note, signature ${index + 1}`,
      'must be "— <name> <base64>" with a key id and a signature',
    )
  }
  return { name, keyId: bytesToHex(bytes.subarray(0, 4)), signature: bytes.slice(4) }
}

/** Whole lines of Unicode text, without control characters but line feeds. */
function checkText(text: string): void {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  if (!text.endsWith('\n') || !text.isWellFormed() || /[\0-\x09\x0b-\x1f]/.test(text)) {
    throw new InvalidArgument('note', 'must have a text of whole lines without control characters')
  }
}

interface Key {
  readonly name: string
  readonly keyId: string
  readonly algorithm: number
  readonly bytes: Uint8Array
}

function parseKey(key: string, path: string): Key {
  const [, name = '', keyId = '', base64 = ''] =
    (typeof key === 'string' && /^([^+]*)\+([0-9a-f]{8})\+(.*)$/.exec(key)) || []
  const bytes = bytesOfBase64(base64)
  if (!isKeyName(name) || bytes?.length !== 1 + keyBytes) {
    throw new InvalidArgument(path, 'must be a key such as "<name>+<8 hex digits>+<base64>"')
  }
  return { name, keyId, algorithm: bytes[0] ?? 0, bytes: bytes.slice(1) }
}

function printKey({ name, keyId, algorithm, bytes }: Key): string {
  return `${name}+${keyId}+${base64Of(concatBytes(Uint8Array.of(algorithm), bytes))}`
}

function keyIdOf(name: string, algorithm: number, publicKey: Uint8Array): string {
  return bytesToHex(sha256(concatBytes(utf8(`${name}\n`), Uint8Array.of(algorithm), publicKey)).subarray(0, 4))
}

function bytesOfId(keyId: string): Uint8Array {
  return Uint8Array.from({ length: 4 }, (_, at) => Number.parseInt(keyId.slice(2 * at, 2 * at + 2), 16))
}

function checkKeyName(name: string, path: string): void {
  if (typeof name === 'string' && isKeyName(name)) return
  throw new InvalidArgument(path, 'must be a name without blanks and without "+", such as "acme.example/permits"')
}

function isKeyName(name: string): boolean {
  return name !== '' && name.isWellFormed() && !/[\s\u0085+]/.test(name)
}
