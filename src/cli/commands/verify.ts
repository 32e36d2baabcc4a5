import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import type { Command } from 'commander'
import { openDigest, type SignedDigest } from '../../core/digest.ts'
import { InvalidArgument } from '../../core/errors.ts'
import type { Fault } from '../../core/finding.ts'
import { parseJson } from '../../core/json.ts'
import { ProofInvalid } from '../../core/ledger-errors.ts'
import { checkProof, type EventProof } from '../../core/proof.ts'
import { publishedCheckpoints } from '../../core/publish.ts'
import { verifyExport } from '../../core/verify-export.ts'
import { openObjects } from '../../open.ts'
import { ordinal, type StoreChoice, stoppable, storeCommand, withStore } from '../options.ts'
import { exitCodes, lateProgress, note, plural, print, printFacts, printJson } from '../output.ts'
import { checkpointIn, fileText, type KeyChoice, ofFile, verifierKeysOf, withKeys } from '../signing.ts'

interface Choice extends StoreChoice, KeyChoice {
  readonly checkpoint?: string
  readonly published?: string
  readonly parallel?: number
  readonly proof?: string
  readonly export?: string
}

export function verifyCommand(): Command {
  return withKeys(
    storeCommand(
      'verify',
      'Verify the log, or without any store a proof or an export: exit code 1 where something is wrong.',
    ),
  )
    .option('--checkpoint <file>', 'against this digest, which was kept elsewhere')
    .option('--published <url>', 'against all digests that were published there: file:FOLDER or s3://BUCKET/PREFIX')
    .option('--parallel <count>', 'how many pieces of the log are read at the same time; default 4', ordinal)
    .option('--proof <file>', 'only this proof of an event, which "ledger prove" has printed; needs --key')
    .option('--export <file>', 'only this file, which "export --evidence" has written; "-" is the standard input')
    .action(run)
}

async function run(choice: Choice): Promise<void> {
  if (choice.proof !== undefined && choice.export !== undefined) {
    throw new InvalidArgument('--proof', 'and --export are two things: verify one after the other')
  }
  const verifierKeys = verifierKeysOf(choice)
  const checkpoint = choice.checkpoint === undefined ? undefined : checkpointIn(choice.checkpoint, verifierKeys)
  const against = { verifierKeys, ...(checkpoint !== undefined && { checkpoint }) }
  if (choice.proof !== undefined) return verifyProof(choice.proof, choice, against)
  const published = choice.published === undefined ? [] : await publishedAt(choice.published, verifierKeys)
  const bar = lateProgress('verify')
  const options = {
    checkpoint: checkpoint === undefined ? published : [...published, checkpoint],
    onProgress: ({ position, head }: { readonly position: number; readonly head: number }) =>
      bar.update(position, head),
  }
  const report = await stoppable('nothing was changed', async (signal) => {
    const { export: file, parallel } = choice
    if (file !== undefined) {
      const bytes = file === '-' ? process.stdin : createReadStream(await fileThere(file))
      return verifyExport(bytes, { ...options, verifierKeys, signal })
    }
    return withStore({ ...choice, ledger: { verifierKeys } }, 'reading', (store) =>
      store.ledger.verify({ ...options, signal, ...(parallel !== undefined && { parallel }) }),
    )
  }).finally(bar.stop)
  if (report === undefined) return
  // Who names a key wants something that it has signed: a ledger that somebody has taken away must not pass.
  const unsigned = report.digest === undefined && report.checkpoint === undefined && report.head > 0
  if (report.fault || (unsigned && verifierKeys.length > 0)) process.exitCode = exitCodes.failed
  if (choice.json) return printJson(report)
  const { fault, verified, streams, events, unread, encrypted = 0, digest, signed, checkpoint: kept } = report
  await print(
    fault ? faultText(fault) : `${plural(verified, 'event')} of ${plural(streams, 'stream')}: nothing is wrong`,
  )
  await printFacts({
    ...(fault && { 'verified up to': `position ${verified}` }),
    'without content':
      [
        ...(events.forgotten > 0 ? [`${plural(events.forgotten, 'event')} forgotten`] : []),
        ...(unread > 0 ? [`${plural(unread, 'event')} in the archive`] : []),
      ].join(', ') || undefined,
    'not decrypted':
      encrypted > 0 ? `${plural(encrypted, 'event')}, as stored; the key is not here, or no more` : undefined,
    digest: digest && `${digestText(digest)}; ${signed ? 'its signature is checked' : 'whose signature needs --key'}`,
    against: kept && digestText(kept),
  })
  if (digest === undefined)
    note('nothing is sealed: what was found is that the log fits together, not that it is the one that was')
}

async function verifyProof(
  file: string,
  { json }: Choice,
  { verifierKeys, checkpoint }: { readonly verifierKeys: readonly string[]; readonly checkpoint?: string },
): Promise<void> {
  if (verifierKeys.length === 0)
    throw new InvalidArgument('--key', 'is needed: a proof holds by whose signature it bears')
  const text = fileText(file, '--proof')
  const checked = ofFile(file, '--proof', () => checkProof(parseJson(text, '--proof') as EventProof, verifierKeys))
  if (checkpoint !== undefined) {
    const kept = openDigest(checkpoint, verifierKeys)
    const same =
      kept.origin === checked.digest.origin && kept.size === checked.digest.size && kept.root === checked.digest.root
    if (!same) {
      throw new ProofInvalid(
        'path',
        `It is against the digest of ${checked.digest.size} events, not the one that was kept, of ${kept.size}; ask for one by "ledger prove --checkpoint"`,
      )
    }
  }
  if (json) return printJson(checked)
  const { stream, revision, position, time, proven, event, digest } = checked
  const what = proven === 'masked' ? 'content, without what is encrypted' : proven
  await print(`${stream} at revision ${revision} is proven: its ${what}`)
  await printFacts({
    position: String(position),
    time,
    type: event?.type,
    data: event && JSON.stringify(event.data),
    digest: digestText(digest),
  })
}

async function publishedAt(url: string, verifierKeys: readonly string[]): Promise<readonly string[]> {
  const objects = await openObjects(url)
  const published = await publishedCheckpoints(objects, verifierKeys).finally(objects.close)
  if (published.length === 0) throw new InvalidArgument('--published', `there is no digest in ${objects.name}`)
  return published
}

async function fileThere(file: string): Promise<string> {
  const found = await stat(file).catch((error: Error) => {
    throw new InvalidArgument('--export', `${file} cannot be read: ${error.message}`)
  })
  if (found.isDirectory()) throw new InvalidArgument('--export', `${file} cannot be read: it is a folder`)
  return file
}

function faultText({ position, until, stream, revision, kind, message }: Fault): string {
  const place = until === undefined ? `position ${position}` : `positions ${position} to ${until}`
  const event = stream === undefined ? '' : ` (${stream} at revision ${revision})`
  return `wrong at ${place}${event}: ${kind}: ${message}`
}

function digestText({ origin, size }: SignedDigest): string {
  return `${origin}, ${plural(size, 'event')}`
}
