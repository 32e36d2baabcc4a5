import { type Command, Command as Group } from 'commander'
import { parseJson } from '../../core/json.ts'
import type { Schedule } from '../../core/schedule.ts'
import { ordinal, type StoreChoice, storeCommand, withStore } from '../options.ts'
import { print, printJson, printList } from '../output.ts'

interface SetChoice extends StoreChoice {
  readonly cron: string
  readonly kind: string
  readonly input?: string
  readonly tries?: number
  readonly backoffMs?: number
}

export function schedulesCommand(): Command {
  return new Group('schedules')
    .description('Jobs that are due again and again.')
    .addCommand(storeCommand('list', 'Print the schedules, those first that are due first.').action(list))
    .addCommand(
      storeCommand('set', 'Set a schedule; one of this name is replaced.')
        .argument('<name>', 'of the schedule')
        .requiredOption('--cron <pattern>', 'minute, hour, day, month, weekday, in UTC: "30 2 * * *"')
        .requiredOption('--kind <kind>', 'of the jobs')
        .option('--input <json>', 'of the jobs, as JSON')
        .option('--tries <count>', 'how often each is tried; default 10', ordinal)
        .option('--backoff-ms <ms>', 'the wait after the first try that failed; default 1,000', ordinal)
        .action(set),
    )
    .addCommand(
      storeCommand('remove', 'Remove a schedule; its jobs stay.').argument('<name>', 'of the schedule').action(remove),
    )
}

async function list(choice: StoreChoice): Promise<void> {
  const all = await withStore(choice, 'reading', (store) => store.jobs.schedules())
  await printList(all, {
    json: choice.json,
    noun: 'schedule',
    cells: ({ name, cron, kind, nextAt }: Schedule) => [name, cron, kind, `next ${nextAt}`],
  })
}

async function set(name: string, choice: SetChoice): Promise<void> {
  const { store: _, json, input, ...options } = choice
  const value = input === undefined ? {} : { input: parseJson(input, 'input') }
  const schedule = await withStore(choice, 'writing', (store) => store.jobs.schedule(name, { ...options, ...value }))
  await (json ? printJson(schedule) : print(`${name} is due next at ${schedule.nextAt}`))
}

async function remove(name: string, choice: StoreChoice): Promise<void> {
  await withStore(choice, 'writing', (store) => store.jobs.unschedule(name))
  await (choice.json ? printJson({ name, removed: true }) : print(`${name} is removed`))
}
