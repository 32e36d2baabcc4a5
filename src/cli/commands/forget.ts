import type { Command } from 'commander'
import { InvalidArgument } from '../../core/errors.ts'
import { type AppChoice, appCommand, withStore } from '../options.ts'
import { plural, print, printJson } from '../output.ts'

interface Choice extends AppChoice {
  readonly reason: string
  readonly principal?: string
  readonly tombstone?: string
  readonly yes?: true
}

export function forgetCommand(): Command {
  return appCommand('forget', 'Erase the content of a stream for good, and close it with a tombstone.', 'optional')
    .argument('<stream>', 'type and id: customer/42')
    .requiredOption('--reason <code>', 'why, as a code without personal data; it stays readable')
    .option('--principal <name>', 'who asks, by a name that may stay readable')
    .option('--tombstone <type>', 'the event type of the tombstone', '$forgotten')
    .option('--yes', 'really do it')
    .action(run)
}

async function run(stream: string, choice: Choice): Promise<void> {
  if (!choice.yes) throw new InvalidArgument('--yes', `is missing: what "${stream}" holds cannot be brought back`)
  const tombstone =
    choice.tombstone === '$forgotten' || choice.tombstone === undefined ? {} : { tombstone: { type: choice.tombstone } }
  const report = await withStore(choice, 'writing', (store) =>
    store.forget(stream, {
      ...{ reasonCode: choice.reason, ...tombstone },
      ...(choice.principal !== undefined && { principal: choice.principal }),
    }),
  )
  if (choice.json) return printJson(report)
  const { events, documents, kinds, revision, segments, backups, remains } = report
  const told = Object.entries(kinds).map(([kind, count]) => `${kind} ${count}`)
  await print(
    `${stream} is forgotten: ${plural(events, 'event')} and ${plural(documents, 'document')} erased, tombstone at revision ${revision}`,
  )
  if (told.length > 0) await print(`Documents: ${told.join(', ')}`)
  if (segments > 0) await print(`Archive segments written anew: ${segments}`)
  if (backups > 0) await print(`Objects of backups written anew: ${backups}`)
  for (const { where, place, objects, until, ends } of remains) {
    const what = [where, place && `in ${place}`, objects && `(${objects})`, until && `until ${until}`]
    await print(`May still be in ${what.filter(Boolean).join(' ')}: ${ends}`)
  }
}
