/**
 * Reading what is encrypted: records come out of the storage, or out of the archive, and go on as they were recorded. What was
 * encrypted by a key that was destroyed reads as its mask. Whoever reads the bare storage (the archive, backups) gets
 * what is stored.
 */
import { decryptContent, type Encrypted, encryptedIn, isEncrypted } from './encrypted.ts'
import { EncryptedDataDamaged } from './encryption-errors.ts'
import { isStoreError } from './errors.ts'
import type { LogRecord, Storage, StoredEvent } from './storage.ts'
import { cipherFor, type KnownSubject, type SubjectKeys } from './subject-keys.ts'

/** Gives records what of them is encrypted; the same list where there is nothing. */
export type Decrypt = <Kind extends LogRecord>(records: readonly Kind[]) => Promise<readonly Kind[]>

/**
 * `strict`: a record that cannot be decrypted although its key was not destroyed throws `MasterKeyMissing`, `MasterKeyWrong` or
 * `EncryptedDataDamaged` when it is asked for its content, and not before: many ask only where a stream ends. `lenient`, for those
 * who prove and verify: it stays as it is stored, and so does what no key is left of; what is damaged has no content
 * that its commitment fits.
 */
export function createDecrypt(keys: Pick<SubjectKeys, 'read'>, how: 'strict' | 'lenient'): Decrypt {
  async function decrypted(
    record: StoredEvent,
    encrypted: Encrypted,
    found: ReadonlyMap<string, KnownSubject>,
  ): Promise<StoredEvent> {
    const { stream, evidence } = record
    const cipherOf = (key: string) => {
      const known = found.get(key)
      if (known?.version === undefined)
        throw new TypeError('the store has no key of its subject, and never destroyed one')
      return cipherFor(known)
    }
    try {
      const opened = await decryptContent(encrypted, stream, cipherOf)
      if (how === 'lenient' && opened.salt === undefined) return record
      const shown = { ...record, content: opened.content }
      return evidence ? { ...shown, evidence: { ...evidence, salt: opened.salt } } : shown
    } catch (error) {
      if (how === 'lenient') return isStoreError(error) ? record : { ...record, content: encrypted.head }
      return refusing(record, error)
    }
  }

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
        const opened =
          'parts' in one
            ? decrypted(stored, one, found)
            : how === 'lenient'
              ? { ...stored, content: '[null]' }
              : refusing(stored, one.cause)
        return opened as typeof record | Promise<typeof record>
      }),
    )
  }
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
