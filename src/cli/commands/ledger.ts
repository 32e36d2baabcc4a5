import { type Command, Command as Group, InvalidArgumentError, Option } from 'commander'
import type { SignedDigest } from '../../core/digest.ts'
import { InvalidArgument, isStoreError } from '../../core/errors.ts'
import type { EventPlace } from '../../core/ledger.ts'
import { newLedgerKeys, newWitnessKeys } from '../../core/note.ts'
import type { Store } from '../../core/store.ts'
import { sleep } from '../../core/turn.ts'
import { witness } from '../../core/witness.ts'
import { createClient } from '../../http/client.ts'
import { open } from '../../open.ts'
import { eventPlace, ordinal, type StoreChoice, storeCommand, untilSignal, withStore } from '../options.ts'
import { note, plural, print, printFacts, printJson } from '../output.ts'
import {
  checkpointIn,
  type KeyChoice,
  ledgerOf,
  type SignerChoice,
  verifierKeysOf,
  withKeys,
  withPublishing,
  withSigner,
  writeSecret,
} from '../signing.ts'

interface SealChoice extends StoreChoice, SignerChoice {}
interface Choice extends StoreChoice, KeyChoice {}
interface WitnessChoice extends SealChoice {
  readonly token?: string
  readonly every?: number
}
interface ProveChoice extends Choice {
  readonly checkpoint?: string
}

export function ledgerCommand(): Command {
  const reading = (name: string, description: string) => withKeys(storeCommand(name, description))
  return new Group('ledger')
    .description('Signed digests of the log, and proofs of what is in it.')
    .addCommand(
      new Group('keys')
        .description('Make a pair of keys: the secret one into a file, the other one is for everybody.')
        .argument('<name>', 'whose log it is, best as a domain with a path: acme.example/permits')
        .argument('<file>', 'where the signer key goes')
        .option('--witness', 'of a witness of other logs, and not of a log')
        .action(keys),
    )
    .addCommand(
      withPublishing(withSigner(storeCommand('seal', 'Sign a digest of all that is in the log now.'))).action(seal),
    )
    .addCommand(reading('digest', 'Print the newest digest as a checkpoint: what to keep elsewhere.').action(digest))
    .addCommand(
      reading('prove', 'Print the proof of an event: all that is needed to check it anywhere.')
        .argument('<event>', 'its stream and revision, customer/42@3, or its position', place)
        .option('--checkpoint <file>', 'against this digest; default: the newest')
        .action(prove),
    )
    .addCommand(
      reading('history', "Print the proofs of a stream's events, one a line.")
        .argument('<stream>', 'type and id: customer/42')
        .action(history),
    )
    .addCommand(
      reading('consistency', 'Print the proof that a digest extends an older one.')
        .argument('<from>', 'the size of the older one', ordinal)
        .argument('[to]', 'the size of the later one; default: of the newest', ordinal)
        .action(consistency),
    )
    .addCommand(
      withSigner(
        storeCommand(
          'witness',
          "Cosign another log's newest digest, if it extends the one before, and keep it in the store.",
        ),
      )
        .argument('<log>', 'the other one: the address of its server, or its store')
        .addOption(new Option('--token <token>', 'for its server').env('DAYBOOK_TOKEN'))
        .option('--every <seconds>', 'ask again and again, until a signal ends it or the log was rewritten', ordinal)
        .action(witnessLog),
    )
}

async function keys(name: string, file: string, { witness }: { readonly witness?: true }): Promise<void> {
  const { signerKey, verifierKey } = witness ? newWitnessKeys(name) : newLedgerKeys(name)
  writeSecret(file, `${signerKey}\n`)
  await print(verifierKey)
  note(`The signer key is in ${file}: keep it secret, and a copy of it safe. Whoever verifies needs the key above.`)
}

async function seal(choice: SealChoice): Promise<void> {
  const sealed = await withStore({ ...choice, ledger: await ledgerOf(choice) }, 'writing', (store) =>
    store.ledger.seal(),
  )
  if (choice.json) return printJson(sealed)
  await printFacts({ log: sealed.origin, events: String(sealed.size), root: sealed.root, sealed: sealed.sealedAt })
}

async function digest(choice: Choice): Promise<void> {
  const newest = await reading(choice, (store) => store.ledger.digest())
  if (choice.json) return printJson(newest ?? null)
  if (newest === undefined) note('nothing is sealed yet')
  else await print(newest.checkpoint.trimEnd())
}

async function prove(event: EventPlace, choice: ProveChoice): Promise<void> {
  const { checkpoint: file } = choice
  const options = file === undefined ? {} : { checkpoint: checkpointIn(file, verifierKeysOf(choice)) }
  await printJson(await reading(choice, (store) => store.ledger.prove(event, options)))
}

async function history(stream: string, choice: Choice): Promise<void> {
  await reading(choice, async (store) => {
    for await (const proof of store.ledger.history(stream)) await printJson(proof)
  })
}

async function consistency(from: number, to: number | undefined, choice: Choice): Promise<void> {
  await printJson(await reading(choice, (store) => store.ledger.proveConsistency(from, to)))
}

async function witnessLog(log: string, { every, ...choice }: WitnessChoice): Promise<void> {
  const { token } = choice
  const { signer, verifierKeys = [] } = await ledgerOf(choice)
  if (signer === undefined) throw new InvalidArgument('--signer-key', "is needed: the witness's own")
  if (every === 0) throw new InvalidArgument('--every', 'must be a second or more')
  const ask = async (store: Store) => {
    await using other = /^https?:/.test(log)
      ? createClient({ url: log, ...(token !== undefined && { token }) })
      : await open(log, { readOnly: true })
    return await witness(store, { ledger: other.ledger, verifierKeys, signer })
  }
  await withStore(choice, 'writing', async (store) => {
    let last: string | undefined
    const tell = async (cosigned: SignedDigest | undefined) => {
      if (cosigned !== undefined && cosigned.checkpoint === last) return
      last = cosigned?.checkpoint
      if (choice.json) return printJson(cosigned ?? null)
      if (cosigned === undefined) note('nothing is sealed there yet')
      else await print(cosigned.checkpoint.trimEnd())
    }
    if (every === undefined) return tell(await ask(store))
    const ended = untilSignal()
    while (!ended.aborted) {
      try {
        await tell(await ask(store))
      } catch (error) {
        if (!isPassing(error)) throw error
        note(`-- ${error.message}; again in ${plural(every, 'second')} --`)
      }
      await sleep(every * 1_000, ended)
    }
  })
}

/** The log is not there just now; of one that was rewritten everybody must hear. */
function isPassing(error: unknown): error is Error {
  return (
    isStoreError(error) && ['server-unreachable', 'store-busy', 'storage-failed', 'store-missing'].includes(error.code)
  )
}

function reading<Result>(choice: Choice, run: Parameters<typeof withStore<Result>>[2]): Promise<Result> {
  return withStore({ ...choice, ledger: { verifierKeys: verifierKeysOf(choice) } }, 'reading', run)
}

function place(value: string): EventPlace {
  if (/^\d+$/.test(value)) return { position: ordinal(value) }
  if (value.includes('@')) return eventPlace(value)
  throw new InvalidArgumentError('It must be a stream and a revision, customer/42@3, or a position.')
}
