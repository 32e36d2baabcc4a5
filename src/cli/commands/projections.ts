import { type Command, Command as Group } from 'commander'
import type { ProjectionStatus } from '../../core/projection-status.ts'
import type { Store } from '../../core/store.ts'
import {
  appCommand,
  type DefinedChoice,
  ordinal,
  type PageChoice,
  type StoreChoice,
  storeCommand,
  withPage,
  withStore,
} from '../options.ts'
import { failureText, plural, print, printFacts, printJson, printList, printPage, triesText } from '../output.ts'
import { rebuildCommand } from './projections-rebuild.ts'

interface VersionChoice extends StoreChoice {
  readonly version?: number
}

export function projectionsCommand(): Command {
  return new Group('projections')
    .description('What builds the views: state, versions, rebuilding, what is parked.')
    .addCommand(storeCommand('list', 'Print all that the store has ever had, and how far they are.').action(list))
    .addCommand(named(storeCommand('status', 'Print all that is known of a projection.')).action(status))
    .addCommand(
      named(storeCommand('pause', 'Let no runner fold it any more; what commits fold stays as it is.')).action(
        change('paused', (store, name) => store.projections.pause(name)),
      ),
    )
    .addCommand(
      named(storeCommand('resume', 'Let runners fold it again.')).action(
        change('resumed', (store, name) => store.projections.resume(name)),
      ),
    )
    .addCommand(rebuildCommand())
    .addCommand(
      versioned(named(storeCommand('switch', 'Let readers read the version that was built beside.')), 'newest').action(
        change('switched', (store, name, version) => store.projections.switch(name, version)),
      ),
    )
    .addCommand(
      named(storeCommand('roll-back', 'Let readers read the version before again.')).action(
        change('rolled back', (store, name) => store.projections.rollBack(name)),
      ),
    )
    .addCommand(
      versioned(named(storeCommand('drop', 'Erase the views of a version that is not read.')), 'oldest').action(drop),
    )
    .addCommand(
      versioned(
        withPage(named(storeCommand('parked', 'Print a page of the views at which a handler failed.'))),
        'one that is read',
      ).action(parked),
    )
    .addCommand(
      versioned(
        named(appCommand('replay-parked', 'Make parked views anew, and let those that succeed go on.', 'needed')),
        'one that is read',
      )
        .argument('[key]', 'only this one')
        .action(replayParked),
    )
}

function named(command: Command): Command {
  return command.argument('<name>', 'the projection')
}

function versioned(command: Command, usual: string): Command {
  return command.option('--version <number>', `which version; default the ${usual}`, ordinal)
}

async function list(choice: StoreChoice): Promise<void> {
  const all = await withStore(choice, 'reading', (store) => store.projections.list())
  await printList(all, {
    json: choice.json,
    noun: 'projection',
    cells: (one) => [
      one.name,
      `version ${one.version}`,
      one.lifecycle,
      one.paused ? 'paused' : one.state,
      one.lifecycle === 'async' ? `lag ${one.lag.toLocaleString('en')}` : '',
      one.parked > 0 ? `${one.parked} parked` : '',
      buildingText(one) ?? '',
    ],
  })
}

async function status(name: string, choice: StoreChoice): Promise<void> {
  const found = await withStore(choice, 'reading', (store) => store.projections.status(name))
  await (choice.json ? printJson(found) : printStatus(found))
}

/** Does it, and shows what came of it. */
function change(
  done: string,
  run: (store: Store, name: string, version: { readonly version?: number }) => Promise<unknown>,
): (name: string, choice: VersionChoice) => Promise<void> {
  return async (name, { version, ...choice }) => {
    const now = await withStore(choice, 'writing', async (store) => {
      await run(store, name, version === undefined ? {} : { version })
      return store.projections.status(name)
    })
    if (choice.json) return printJson(now)
    await print(`${name} is ${done}`)
    await printStatus(now)
  }
}

async function drop(name: string, { version, ...choice }: VersionChoice): Promise<void> {
  await withStore(choice, 'writing', (store) => store.projections.drop(name, version === undefined ? {} : { version }))
  const which = version === undefined ? 'the oldest version' : `version ${version}`
  await (choice.json ? printJson({ name, dropped: true }) : print(`${which} of ${name} is dropped`))
}

async function parked(name: string, choice: VersionChoice & PageChoice): Promise<void> {
  const { store: _, json, ...options } = choice
  const page = await withStore(choice, 'reading', (store) => store.projections.parked(name, options))
  await printPage(page, page.parked, {
    json,
    noun: 'parked view',
    cells: ({ key, stream, revision, tries, waiting, failure }) => [
      key,
      `at ${stream}@${revision}`,
      triesText(tries),
      `${waiting} waiting`,
      failureText(failure),
    ],
  })
}

async function replayParked(name: string, key: string | undefined, choice: DefinedChoice & VersionChoice) {
  const { version } = choice
  const asked = { ...(key !== undefined && { key }), ...(version !== undefined && { version }) }
  const report = await withStore(choice, 'writing', (store) => store.projections.replayParked(name, asked))
  if (choice.json) return printJson(report)
  await print(`${plural(report.replayed, 'view')} made anew, ${report.parked.toLocaleString('en')} parked still`)
}

export function printStatus(status: ProjectionStatus): Promise<void> {
  const { name, version, lifecycle, state, checkpoint, head, lag, parked, paused, running, trouble, versions } = status
  const count = (value: number) => value.toLocaleString('en')
  return printFacts({
    projection: name,
    lifecycle,
    version: `${version}, ${state}${paused ? ', paused' : ''}`,
    checkpoint: checkpoint === undefined ? undefined : `${count(checkpoint)} of ${count(head)}, lag ${count(lag)}`,
    running: running && `since ${running.since}`,
    parked: count(parked),
    building: buildingText(status),
    'rolls back to': status.before === undefined ? undefined : `version ${status.before}`,
    versions: versions.map((one) => `${one.version} ${one.state}${one.whole ? '' : ' (not whole)'}`).join(', '),
    trouble: trouble && failureText(trouble),
  })
}

function buildingText({ building }: ProjectionStatus): string | undefined {
  if (building === undefined) return undefined
  const { version, position, of } = building
  return `building version ${version}: ${position.toLocaleString('en')} of ${of.toLocaleString('en')}`
}
