/** Keys of the ledger as commands take them: who signs by a file or the environment, who verifies by their texts. */
import { readFileSync, writeFileSync } from 'node:fs'
import { type Command, Option } from 'commander'
import { keptDigest } from '../core/digest.ts'
import { InvalidArgument } from '../core/errors.ts'
import type { LedgerOptions } from '../core/ledger.ts'
import { ProofInvalid } from '../core/ledger-errors.ts'
import { signerOf, verifierOf } from '../core/note.ts'
import { openObjects } from '../open.ts'
import { collect, ordinal } from './options.ts'

export interface KeyChoice {
  readonly key?: readonly string[]
}

export interface SignerChoice extends KeyChoice {
  readonly publish?: string
  readonly retainDays?: number
  readonly signerKey?: string
  readonly sealEvery?: number
}

/** Whose digests are believed. */
export function withKeys(command: Command): Command {
  return command.addOption(
    new Option('--key <key>', 'a verifier key of the log, or of a witness; or a file with one (repeatable)')
      .env('DAYBOOK_VERIFIER_KEY')
      .argParser(collect),
  )
}

/** Who signs. The key itself may be in DAYBOOK_SIGNER_KEY; on a command line others would see it. */
export function withSigner(command: Command): Command {
  return withKeys(command).addOption(
    new Option(
      '--signer-key <file>',
      'sign digests of the log: the file with the key (or DAYBOOK_SIGNER_KEY holds it)',
    ).env('DAYBOOK_SIGNER_KEY_FILE'),
  )
}

/** For commands that seal: how often those that go on do, and where digests go. */
export function withSealing(command: Command): Command {
  return withPublishing(withSigner(command)).addOption(
    new Option('--seal-every <seconds>', 'how long an event may wait for its digest; default 60')
      .env('DAYBOOK_SEAL_EVERY')
      .argParser(ordinal),
  )
}

export function withPublishing(command: Command): Command {
  return command
    .addOption(
      new Option('--publish <url>', 'where each digest goes: file:FOLDER or s3://BUCKET/PREFIX').env('DAYBOOK_PUBLISH'),
    )
    .addOption(
      new Option('--retain-days <days>', 'lock it there for so long; needs a bucket with Object Lock')
        .env('DAYBOOK_RETAIN_DAYS')
        .argParser(ordinal),
    )
}

/** What the store is opened with. Throws `InvalidArgument` for keys that are none, with nothing of a secret in it. */
export async function ledgerOf({ signerKey: file, sealEvery, ...choice }: SignerChoice): Promise<LedgerOptions> {
  const text = file === undefined ? process.env['DAYBOOK_SIGNER_KEY'] : fileText(file, '--signer-key')
  const { publish, retainDays } = choice
  return {
    ...(text !== undefined && {
      signer: ofFile(file ?? 'DAYBOOK_SIGNER_KEY', '--signer-key', () => signerOf(text.trim())),
    }),
    ...(sealEvery !== undefined && { everyMs: sealEvery * 1_000 }),
    ...(publish !== undefined && {
      publish: { objects: await openObjects(publish), ...(retainDays !== undefined && { retainDays }) },
    }),
    verifierKeys: verifierKeysOf(choice),
  }
}

export function verifierKeysOf({ key = [] }: KeyChoice): readonly string[] {
  return [key].flat().map((given) => {
    if (isKey(given)) {
      verifierOf(given, '--key')
      return given
    }
    const text = fileText(given, '--key').trim()
    ofFile(given, '--key', () => verifierOf(text))
    return text
  })
}

/** A key has its id between two plus signs. */
function isKey(text: string): boolean {
  return /\+[0-9a-f]{8}\+/.test(text)
}

/** A digest that was kept in a file, as far as it is one that these keys have signed. */
export function checkpointIn(file: string, verifierKeys: readonly string[]): string {
  const text = fileText(file, '--checkpoint')
  ofFile(file, '--checkpoint', () => keptDigest(text, verifierKeys))
  return text
}

/** What is wrong with its text is told with the file. */
export function ofFile<Made>(file: string, option: string, make: () => Made): Made {
  try {
    return make()
  } catch (error) {
    if (error instanceof InvalidArgument)
      throw new InvalidArgument(option, `${file} cannot be used: it ${error.reason}`)
    if (error instanceof ProofInvalid) throw new ProofInvalid(error.part, `${file}: ${error.reason}`)
    throw error
  }
}

export function fileText(file: string, option: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new InvalidArgument(option, `${file} cannot be read: ${(error as Error).message}`)
  }
}

/** A secret, for its owner alone; never over what is there. */
export function writeSecret(file: string, text: string): void {
  try {
    writeFileSync(file, text, { mode: 0o600, flag: 'wx' })
  } catch (error) {
    throw new InvalidArgument('file', `${file} cannot be written: ${(error as Error).message}`)
  }
}
