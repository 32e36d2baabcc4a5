import type { Command } from 'commander'
import { InvalidArgument } from '../../core/errors.ts'
import type { ForgetOptions, ForgetReport } from '../../core/forget.ts'
import type { SubjectReport } from '../../core/forget-subject.ts'
import { type AppChoice, appCommand, withStore } from '../options.ts'
import { plural, print, printJson } from '../output.ts'
import { backupsOption, statesOption } from '../places.ts'

interface Choice extends AppChoice {
  readonly subject?: string
  readonly reason: string
  readonly principal?: string
  readonly tombstone?: string
  readonly yes?: true
}

export function forgetCommand(): Command {
  return appCommand('forget', 'Erase the content of a stream, or of all that a subject has, for good.', 'optional')
    .argument('[stream]', 'type and id: customer/42')
    .option('--subject <name>', 'instead of a stream: its own streams, and its key')
    .requiredOption('--reason <code>', 'why, as a code without personal data; it stays readable')
    .option('--principal <name>', 'who asks, by a name that may stay readable')
    .option('--tombstone <type>', 'the event type of the tombstone', '$forgotten')
    .addOption(backupsOption())
    .addOption(statesOption())
    .option('--yes', 'really do it')
    .action(run)
}

async function run(stream: string | undefined, choice: Choice): Promise<void> {
  const { subject } = choice
  const what = stream ?? subject
  if (what === undefined || (stream !== undefined && subject !== undefined)) {
    throw new InvalidArgument('stream', 'name a stream, or a subject by --subject')
  }
  if (!choice.yes) throw new InvalidArgument('--yes', `is missing: what "${what}" holds cannot be brought back`)
  const tombstone =
    choice.tombstone === '$forgotten' || choice.tombstone === undefined ? {} : { tombstone: { type: choice.tombstone } }
  const { reason, principal } = choice
  const options = { reasonCode: reason, ...tombstone, ...(principal !== undefined && { principal }) }
  if (subject === undefined) await forgetStream(what, choice, options)
  else await forgetSubject(what, choice, options)
}

async function forgetStream(stream: string, choice: Choice, options: ForgetOptions): Promise<void> {
  const report = await withStore(choice, 'writing', (store) => store.forget(stream, options))
  if (choice.json) return printJson(report)
  const erased = `${plural(report.events, 'event')} and ${plural(report.documents, 'document')} erased`
  await print(`${stream} is forgotten: ${erased}, tombstone at revision ${report.revision}`)
  await printErased(report)
}

/** What is alike of a stream and a subject. */
async function printErased({ kinds, segments, backups, remains }: ForgetReport | SubjectReport): Promise<void> {
  const told = Object.entries(kinds).map(([kind, count]) => `${kind} ${count}`)
  if (told.length > 0) await print(`Documents: ${told.join(', ')}`)
  if (segments > 0) await print(`Archive segments written anew: ${segments}`)
  if (backups > 0) await print(`Objects of backups written anew: ${backups}`)
  for (const { where, place, objects, until, ends } of remains) {
    const what = [where, place && `in ${place}`, objects && `(${objects})`, until && `until ${until}`]
    await print(`May still be in ${what.filter(Boolean).join(' ')}: ${ends}`)
  }
}

async function forgetSubject(subject: string, choice: Choice, options: ForgetOptions): Promise<void> {
  const report = await withStore(choice, 'writing', (store) => store.forget({ subject, ...options }))
  if (choice.json) return printJson(report)
  const { streams, events, documents, masked, key, rebuild } = report
  const erased = `${plural(events, 'event')} and ${plural(documents, 'document')} erased in ${plural(streams, 'stream')}`
  const left = key === 'destroyed' ? `its key destroyed, masked in ${plural(masked, 'other stream')}` : 'it had no key'
  await print(`${subject} is forgotten: ${erased}; ${left}`)
  const why = 'it is not defined here (--app) and holds what was there before, or its handlers fail at the mask'
  for (const version of rebuild) await print(`rebuild ${version}: ${why}`)
  await printErased(report)
}
