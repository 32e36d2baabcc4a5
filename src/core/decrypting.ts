/**
 * Reading what is encrypted: records come out of the storage, or out of the archive, and go on as they were recorded. What was
 * encrypted by a key that was destroyed reads as its mask. Whoever reads the bare storage (the archive, backups) gets
 * what is stored.
 */
import { decryptContent, encryptedIn, isEncrypted } from './encrypted.ts'
import { EncryptedDataDamaged } from './encryption-errors.ts'
import { isStoreError } from './errors.ts'
import type { LogRecord, Storage } from './storage.ts'
import { cipherFor, type KnownSubject, type SubjectKeys } from './subject-keys.ts'

/** Gives records what of them is encrypted; the same list where there is nothing. */
export type Decrypt = <Kind extends LogRecord>(records: readonly Kind[]) => Promise<readonly Kind[]>

/**
 * `strict`: a record that cannot be decrypted although its key was not destroyed throws `MasterKeyMissing`, `MasterKeyWrong` or
 * `EncryptedDataDamaged` when it is asked for its content, and not before: many ask only where a stream ends. Otherwise it stays as
 * it is stored, and so does what no key is left of, for those who prove and verify.
 */
export function createDecrypt(keys: Pick<SubjectKeys, 'find'>, how: 'strict' | 'lenient'): Decrypt {
  async function decrypted<Kind extends LogRecord>(
    record: Kind,
    found: ReadonlyMap<string, KnownSubject>,
  ): Promise<Kind> {
    if (record.state !== 'stored') return record
    const { stream, revision, content, evidence } = record
    const damaged = (reason: string, cause?: unknown) => new EncryptedDataDamaged({ stream, revision, reason }, cause)
    const cipherOf = (key: string) => {
      const known = found.get(key)
      if (known?.version === undefined) throw damaged('the store has no key of its subject, and never destroyed one')
      return cipherFor(known)
    }
    try {
      const opened = await decryptContent(encryptedIn(content), stream, cipherOf)
      if (how === 'lenient' && opened.salt === undefined) return record
      const shown = { ...record, content: opened.content }
      return evidence ? { ...shown, evidence: { ...evidence, salt: opened.salt } } : shown
    } catch (error) {
      if (how === 'lenient') return record
      const told = isStoreError(error) ? error : damaged('it, or its key, is not as it was written', error)
      return Object.defineProperty({ ...record }, 'content', {
        enumerable: true,
        get() {
          throw told
        },
      })
    }
  }

  return async (records) => {
    const keysOf = new Set<string>()
    for (const record of records) {
      if (record.state !== 'stored' || !isEncrypted(record.content)) continue
      for (const [key] of encryptedIn(record.content).parts) keysOf.add(key)
    }
    if (keysOf.size === 0) return records
    const found = await keys.find(keysOf)
    return Promise.all(
      records.map((record) =>
        record.state === 'stored' && isEncrypted(record.content) ? decrypted(record, found) : record,
      ),
    )
  }
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
