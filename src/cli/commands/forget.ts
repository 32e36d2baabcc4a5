import type { Command } from 'commander'
import { InvalidArgument } from '../../core/errors.ts'
import { type AppChoice, appCommand, withStore } from '../options.ts'
import { plural, print, printJson } from '../output.ts'

interface Choice extends AppChoice {
  readonly reason: string
  readonly tombstone?: string
  readonly yes?: true
}

export function forgetCommand(): Command {
  return appCommand('forget', 'Erase the content of a stream for good, and close it with a tombstone.', 'optional')
    .argument('<stream>', 'type and id: customer/42')
    .requiredOption('--reason <code>', 'why, as a code without personal data; it stays readable')
    .option('--tombstone <type>', 'the event type of the tombstone', '$forgotten')
    .option('--yes', 'really do it')
    .action(run)
}

async function run(stream: string, choice: Choice): Promise<void> {
  if (!choice.yes) throw new InvalidArgument('--yes', `is missing: what "${stream}" holds cannot be brought back`)
  const tombstone =
    choice.tombstone === '$forgotten' || choice.tombstone === undefined ? {} : { tombstone: { type: choice.tombstone } }
  const report = await withStore(choice, 'writing', (store) =>
    store.forget(stream, { reasonCode: choice.reason, ...tombstone }),
  )
  if (choice.json) return printJson(report)
  const { events, documents, revision, scrub } = report
  await print(
    `${stream} is forgotten: ${plural(events, 'event')} and ${plural(documents, 'document')} erased, tombstone at revision ${revision}`,
  )
  if (scrub === 'pending') {
    await print(
      'Copies remain in the write-ahead log until a long read ends; opening the store for writing tries again',
    )
  }
}
