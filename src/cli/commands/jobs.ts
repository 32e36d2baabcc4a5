import { type Command, Command as Group, Option } from 'commander'
import { type Job, type JobState, jobStates } from '../../core/job.ts'
import { parseJson } from '../../core/json.ts'
import { JobNotFound } from '../../core/work-errors.ts'
import { collect, ordinal, type PageChoice, type StoreChoice, storeCommand, withPage, withStore } from '../options.ts'
import { failureText, print, printFacts, printJson, printPage } from '../output.ts'

interface ListChoice extends StoreChoice, PageChoice {
  readonly state?: JobState
  readonly kind?: string
}

interface AddChoice extends StoreChoice {
  readonly key?: string
  readonly at?: string
  readonly delayMs?: number
  readonly tries?: number
  readonly backoffMs?: number
  readonly stream?: readonly string[]
}

export function jobsCommand(): Command {
  return new Group('jobs')
    .description('Work that is to be done once, and is not lost.')
    .addCommand(
      withPage(storeCommand('list', 'Print a page of the jobs: parked, running, waiting, then done ones.'))
        .addOption(new Option('--state <state>', 'only of this state').choices(jobStates))
        .option('--kind <kind>', 'only of this kind')
        .action(list),
    )
    .addCommand(withId(storeCommand('get', 'Print all that is known of a job.')).action(get))
    .addCommand(
      storeCommand('add', 'Add a job, for the workers that have a handler for its kind.')
        .argument('<kind>', 'what kind of work')
        .argument('[input]', 'its input as JSON')
        .option('--key <key>', 'added again under it, it is the one that is there')
        .option('--at <instant>', 'not before')
        .option('--delay-ms <ms>', 'not before so many milliseconds from now', ordinal)
        .option('--tries <count>', 'how often it is tried; default 10', ordinal)
        .option('--backoff-ms <ms>', 'the wait after the first try that failed; default 1,000', ordinal)
        .option('--stream <stream>', 'its input holds content of this stream, and goes with it (repeatable)', collect)
        .action(add),
    )
    .addCommand(withId(storeCommand('retry', 'Let a parked job be tried again.')).action(retry))
    .addCommand(withId(storeCommand('remove', 'Remove a job, whatever its state.')).action(remove))
}

function withId(command: Command): Command {
  return command.argument('<id>', 'kind and key: invoice/order-1')
}

async function list(choice: ListChoice): Promise<void> {
  const { store: _, json, ...options } = choice
  const page = await withStore(choice, 'reading', (store) => store.jobs.list(options))
  await printPage(page, page.jobs, {
    json,
    noun: 'job',
    cells: ({ id, state, tries, mostTries, dueAt, error }) => [
      ...[id, state, `try ${tries} of ${mostTries}`, dueAt === undefined ? '' : `due ${dueAt}`],
      error === undefined ? '' : failureText(error),
    ],
  })
}

async function get(id: string, choice: StoreChoice): Promise<void> {
  const job = await withStore(choice, 'reading', (store) => store.jobs.get(id))
  if (job === undefined) throw new JobNotFound(id)
  await (choice.json ? printJson(job) : printJob(job))
}

async function add(kind: string, input: string | undefined, choice: AddChoice): Promise<void> {
  const { store: _, json, stream: streams, ...options } = choice
  const value = input === undefined ? {} : { input: parseJson(input, 'input') }
  const added = await withStore(choice, 'writing', (store) =>
    store.jobs.add(kind, { ...options, ...value, ...(streams && { streams }) }),
  )
  if (json) return printJson(added)
  await print(`${added.job.id} is ${added.job.state}${added.repeated ? ' (it was there already)' : ''}`)
}

async function retry(id: string, choice: StoreChoice): Promise<void> {
  const job = await withStore(choice, 'writing', (store) => store.jobs.retry(id))
  await (choice.json ? printJson(job) : print(`${id} is ${job.state}`))
}

async function remove(id: string, choice: StoreChoice): Promise<void> {
  await withStore(choice, 'writing', (store) => store.jobs.remove(id))
  await (choice.json ? printJson({ id, removed: true }) : print(`${id} is removed`))
}

function printJob({ id, state, input, tries, mostTries, addedAt, dueAt, held, progress, result, error }: Job) {
  const shown = (value: unknown) => (value === undefined || value === null ? undefined : JSON.stringify(value))
  return printFacts({
    job: id,
    state,
    tries: `${tries} of ${mostTries}`,
    added: addedAt,
    due: dueAt,
    'held since': held?.since,
    input: shown(input),
    progress: shown(progress),
    result: shown(result),
    error: error && failureText(error),
  })
}
