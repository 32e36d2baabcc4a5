/** What can go wrong with subjects, and with what is encrypted for them. */
import { StoreError } from './errors.ts'

/** The subject was forgotten; nothing that concerns it can be recorded any more. Nothing was written. */
export class SubjectForgotten extends StoreError {
  override readonly code = 'subject-forgotten'
  declare readonly subject: string
  constructor(subject: string) {
    super(`Subject "${subject}" was forgotten; nothing that concerns it can be recorded any more`, { subject })
  }
}

/** Streams that are not the subject's own hold its data as plain text, which nothing but forgetting them can erase. */
export class SubjectExposed extends StoreError {
  override readonly code = 'subject-exposed'
  declare readonly subject: string
  /** Some of them, in no order. */
  declare readonly streams: readonly string[]
  constructor(subject: string, streams: readonly string[]) {
    const told = streams.map((stream) => `"${stream}"`).join(', ')
    const why = `"${subject}" has data that is not encrypted in streams that are not its own (${told})`
    super(`${why}; forget these streams, then the subject again`, { subject, streams })
  }
}

/** The store's keys are wrapped by a master key that was not given. `keyId` names the one that is missing. */
export class MasterKeyWrong extends StoreError {
  override readonly code = 'master-key-wrong'
  declare readonly keyId: string
  declare readonly given: string
  constructor({ keyId, given }: { readonly keyId: string; readonly given: string }, cause?: unknown) {
    const mend = 'open it with that key, or with both while you rotate, the new one first'
    super(
      `Keys of the store are wrapped by master key "${keyId}", and "${given}" was given; ${mend}`,
      { keyId, given },
      cause,
    )
  }
}

/** There is something encrypted, and the store was opened without a master key. */
export class MasterKeyMissing extends StoreError {
  override readonly code = 'master-key-missing'
  declare readonly keyId: string
  constructor(keyId: string) {
    const mend = 'open the store with it (encryption.masterKey, DAYBOOK_MASTER_KEY or DAYBOOK_MASTER_KEY_FILE)'
    super(`This is encrypted under master key "${keyId}", which the store was opened without; ${mend}`, { keyId })
  }
}

/** What is encrypted, or its key, is not as it was written. */
export class EncryptedDataDamaged extends StoreError {
  override readonly code = 'encrypted-data-damaged'
  declare readonly stream: string
  declare readonly revision: number
  declare readonly reason: string
  constructor(facts: { readonly stream: string; readonly revision: number; readonly reason: string }, cause?: unknown) {
    const { stream, revision, reason } = facts
    super(`Revision ${revision} of "${stream}" cannot be decrypted: ${reason}`, { stream, revision, reason }, cause)
  }
}
