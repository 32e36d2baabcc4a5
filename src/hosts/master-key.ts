/** The master key of whoever keeps it by himself: in a file, or in the environment. */
import { readFile } from 'node:fs/promises'
import { InvalidArgument } from '../core/errors.ts'
import { type MasterKey, masterKeyFrom } from '../core/master-key.ts'

export interface MasterKeyPlace {
  /** A file with keys in base64 or hex, a line each; the first one wraps. */
  readonly file?: string | undefined
  /** The same as a text. */
  readonly text?: string | undefined
}

/** Undefined where neither is given. Throws `InvalidArgument` for both, a file that cannot be read, and what is no key. */
export async function readMasterKey({ file, text }: MasterKeyPlace): Promise<MasterKey | undefined> {
  if (file !== undefined && text !== undefined) {
    throw new InvalidArgument('DAYBOOK_MASTER_KEY', 'stands beside a file with the master key; give one of them')
  }
  if (text !== undefined) return masterKeyFrom(text, 'DAYBOOK_MASTER_KEY')
  if (file === undefined) return undefined
  const read = await readFile(file, 'utf8').catch((error: Error) => {
    throw new InvalidArgument('master key', `${file} cannot be read: ${error.message}`)
  })
  return masterKeyFrom(read, file)
}
