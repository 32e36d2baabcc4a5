/**
 * Reading what is encrypted: records come out of the storage, or out of the archive, and go on as they were recorded. What was
 * encrypted by a key that was destroyed reads as its mask. Whoever reads the bare storage (the archive, backups) gets
 * what is stored.
 */
import { decryptContent, type Encrypted, encryptedIn, isEncrypted } from './encrypted.ts'
import { EncryptedDataDamaged, MasterKeyWrong } from './encryption-errors.ts'
import { isStoreError } from './errors.ts'
import type { LogRecord, Storage, StoredEvent } from './storage.ts'
import { cipherFor, type KnownSubject, type SubjectKeys } from './subject-keys.ts'

/** Gives records what of them is encrypted; the same list where there is nothing. */
export type Decrypt = <Kind extends LogRecord>(records: readonly Kind[]) => Promise<readonly Kind[]>

export const asStored: Decrypt = async (records) => records

/** How is read for proofs: events as they are stored, and with them what they decrypt to, as far as there are keys. */
export interface Proving {
  readonly storage: Storage
  /** Does that to what comes from elsewhere; `asStored` where there is no key. */
  readonly open: Decrypt
}

type Keys = Pick<SubjectKeys, 'read'>

/**
 * A record that cannot be decrypted although its key was not destroyed throws `MasterKeyMissing`, `MasterKeyWrong` or
 * `EncryptedDataDamaged` when it is asked for its content, and not before: many ask only where a stream ends.
 */
export function createDecrypt(keys: Keys): Decrypt {
  return decryptEach(keys, async (record, open) => {
    try {
      return { ...record, content: (await open()).content }
    } catch (error) {
      return refusing(record, error)
    }
  })
}

/**
 * For those who prove, verify and compare: a record stays as it is stored, and its evidence has what it decrypts to; nothing
 * where a key is not at hand, or was destroyed. `works` tells whether a master key is at hand, by its id.
 */
export function createOpening(keys: Keys, works: (masterKey: string) => Promise<boolean>): Decrypt {
  return decryptEach(keys, async (record, open) => {
    try {
      const { content, salt } = await open()
      return salt ? { ...record, evidence: { ...record.evidence, plain: { content, salt } } } : record
    } catch (error) {
      const absent = isStoreError(error) && !(error instanceof MasterKeyWrong && (await works(error.keyId)))
      return absent ? record : { ...record, evidence: { ...record.evidence, plain: 'damaged' } }
    }
  })
}

function decryptEach(
  keys: Keys,
  decrypted: (record: StoredEvent, open: () => ReturnType<typeof decryptContent>) => Promise<StoredEvent>,
): Decrypt {
  return async (records) => {
    const parsed = records.map((record) => parse(record))
    if (parsed.every((one) => one === undefined)) return records
    const keysOf = new Set<string>()
    for (const one of parsed) if (one && 'parts' in one) for (const [key] of one.parts) keysOf.add(key)
    const found = await keys.read(keysOf)
    return Promise.all(
      records.map((record, index) => {
        const [one, stored] = [parsed[index], record as LogRecord]
        if (one === undefined || stored.state !== 'stored') return record
        const open = async () => {
          if ('cause' in one) throw one.cause
          return decryptContent(one, stored.stream, (key) => cipherIn(found, key))
        }
        return decrypted(stored, open) as Promise<unknown> as Promise<typeof record>
      }),
    )
  }
}

function cipherIn(found: ReadonlyMap<string, KnownSubject>, key: string) {
  const known = found.get(key)
  if (known?.version === undefined) throw new TypeError('the store has no key of its subject, and never destroyed one')
  return cipherFor(known)
}

/** Undefined where nothing is encrypted. */
function parse(record: LogRecord): Encrypted | { readonly cause: unknown } | undefined {
  if (record.state !== 'stored' || !isEncrypted(record.content)) return undefined
  try {
    return encryptedIn(record.content)
  } catch (cause) {
    return { cause }
  }
}

/** The record, which throws when it is asked for its content. */
function refusing(record: StoredEvent, cause: unknown): StoredEvent {
  const { stream, revision } = record
  const reason = 'it, or its key, is not as it was written'
  const error = isStoreError(cause) ? cause : new EncryptedDataDamaged({ stream, revision, reason }, cause)
  return Object.defineProperty({ ...record }, 'content', {
    enumerable: true,
    get() {
      throw error
    },
  })
}

/** The storage, whose events are read as they were recorded. */
export function decrypting(storage: Storage, decrypt: Decrypt): Storage {
  const { readWithin } = storage
  return {
    ...storage,
    ...decryptingReads(storage, decrypt),
    async readBoundary(query, from, limit) {
      const page = await storage.readBoundary(query, from, limit)
      return { ...page, records: await decrypt(page.records) }
    },
    async readLog(query) {
      const page = await storage.readLog(query)
      return { ...page, records: await decrypt(page.records) }
    },
    ...(readWithin && {
      readWithin: (transaction) => decryptingReads(readWithin(transaction), decrypt),
    }),
  }
}

function decryptingReads(
  reads: Pick<Storage, 'getDocuments' | 'readStream'>,
  decrypt: Decrypt,
): Pick<Storage, 'getDocuments' | 'readStream'> {
  return {
    getDocuments: (keys) => reads.getDocuments(keys),
    async readStream(stream, range) {
      const page = await reads.readStream(stream, range)
      return { ...page, records: await decrypt(page.records) }
    },
  }
}
