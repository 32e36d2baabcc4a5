import { type Command, Command as Group, InvalidArgumentError } from 'commander'
import type { ConsumerStatus, StartAt } from '../../core/consumer.ts'
import type { Store } from '../../core/store.ts'
import { ordinal, type PageChoice, type StoreChoice, storeCommand, withPage, withStore } from '../options.ts'
import { failureText, plural, print, printFacts, printJson, printList, printPage, triesText } from '../output.ts'

interface ResetChoice extends StoreChoice {
  readonly from: StartAt
}

export function consumersCommand(): Command {
  return new Group('consumers')
    .description('Named readers of the log: how far they are, what is parked.')
    .addCommand(storeCommand('list', 'Print all consumers, and how far they are.').action(list))
    .addCommand(named(storeCommand('status', 'Print all that is known of a consumer.')).action(status))
    .addCommand(
      named(storeCommand('pause', 'Let nobody work on it until it is resumed.')).action(
        change('paused', (store, name) => store.consumers.pause(name)),
      ),
    )
    .addCommand(
      named(storeCommand('resume', 'Let it be worked on again.')).action(
        change('resumed', (store, name) => store.consumers.resume(name)),
      ),
    )
    .addCommand(
      named(storeCommand('reset', 'Deliver everything behind a place anew; nothing is parked any more.'))
        .requiredOption('--from <place>', '"start", "now" or a position', startAt)
        .action(reset),
    )
    .addCommand(
      withPage(
        named(storeCommand('parked', 'Print a page of the streams that wait with an event that failed.')),
      ).action(parked),
    )
    .addCommand(
      named(storeCommand('replay-parked', 'Ask for parked streams to be handled again, by whoever runs the consumer.'))
        .argument('[stream]', 'only this one')
        .action(replayParked),
    )
    .addCommand(
      named(storeCommand('remove', 'Remove it with all that is known of it; those who run it end.')).action(remove),
    )
}

function named(command: Command): Command {
  return command.argument('<name>', 'the consumer')
}

async function list(choice: StoreChoice): Promise<void> {
  const all = await withStore(choice, 'reading', (store) => store.consumers.list())
  await printList(all, {
    json: choice.json,
    noun: 'consumer',
    cells: ({ name, state, position, lag, parked }) => [
      ...[name, state, `position ${position.toLocaleString('en')}`, `lag ${lag.toLocaleString('en')}`],
      parked > 0 ? `${parked} parked` : '',
    ],
  })
}

async function status(name: string, choice: StoreChoice): Promise<void> {
  const found = await withStore(choice, 'reading', (store) => store.consumers.status(name))
  await (choice.json ? printJson(found) : printStatus(found))
}

/** Does it, and shows what came of it. */
function change(done: string, run: (store: Store, name: string) => Promise<void>) {
  return async (name: string, choice: StoreChoice): Promise<void> => {
    const now = await withStore(choice, 'writing', async (store) => {
      await run(store, name)
      return store.consumers.status(name)
    })
    if (choice.json) return printJson(now)
    await print(`${name} is ${done}`)
    await printStatus(now)
  }
}

function reset(name: string, { from, ...choice }: ResetChoice): Promise<void> {
  return change('reset', (store) => store.consumers.reset(name, from))(name, choice)
}

async function parked(name: string, choice: StoreChoice & PageChoice): Promise<void> {
  const { store: _, json, ...options } = choice
  const page = await withStore(choice, 'reading', (store) => store.consumers.parked(name, options))
  await printPage(page, page.parked, {
    json,
    noun: 'parked stream',
    cells: ({ stream, revision, position, tries, error, replay }) => [
      `${stream}@${revision}`,
      `position ${position.toLocaleString('en')}`,
      triesText(tries),
      replay ? 'to be replayed' : '',
      failureText(error),
    ],
  })
}

async function replayParked(name: string, stream: string | undefined, choice: StoreChoice): Promise<void> {
  const count = await withStore(choice, 'writing', (store) => store.consumers.replayParked(name, stream))
  await (choice.json ? printJson({ asked: count }) : print(`${plural(count, 'stream')} to be handled again`))
}

async function remove(name: string, choice: StoreChoice): Promise<void> {
  await withStore(choice, 'writing', (store) => store.consumers.remove(name))
  await (choice.json ? printJson({ name, removed: true }) : print(`${name} is removed`))
}

function printStatus(status: ConsumerStatus): Promise<void> {
  const { name, state, position, head, lag, parked, held, seenAt, error } = status
  const { streamTypes, types, tags } = status
  const listed = (values: readonly string[]) => (values.length === 0 ? undefined : values.join(', '))
  const count = (value: number) => value.toLocaleString('en')
  return printFacts({
    consumer: name,
    state,
    position: `${count(position)} of ${count(head)}, lag ${count(lag)}`,
    parked: count(parked),
    'stream types': listed(streamTypes),
    'event types': listed(types),
    tags: listed(tags),
    'held since': held?.since,
    'last seen': seenAt,
    error: error && failureText(error),
  })
}

function startAt(value: string): StartAt {
  if (value === 'start' || value === 'now') return value
  if (!/^\d+$/.test(value)) throw new InvalidArgumentError('It must be "start", "now" or a position.')
  return ordinal(value)
}
