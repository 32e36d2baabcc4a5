import { type Command, Command as Group } from 'commander'
import { InvalidArgument } from '../../core/errors.ts'
import {
  appCommand,
  type DefinedChoice,
  ordinal,
  type PageChoice,
  type StoreChoice,
  stoppable,
  storeCommand,
  withPage,
  withStore,
} from '../options.ts'
import { plural, print, printJson, printPage } from '../output.ts'

interface TakeChoice extends DefinedChoice {
  readonly streamType?: string
  readonly updatedAfter?: string
}

interface ListChoice extends StoreChoice, PageChoice {
  readonly decider?: string
  readonly stream?: string
}

interface DropChoice extends StoreChoice {
  readonly version?: number
  readonly stream?: string
}

export function snapshotsCommand(): Command {
  return new Group('snapshots')
    .description('States of deciders at which loads begin; they can be dropped at any time.')
    .addCommand(
      appCommand('take', 'Take one of a stream, or of every stream of a type that has come on.', 'needed')
        .argument('<decider>', 'the name in its snapshot policy')
        .argument('[stream]', 'type and id: account/42')
        .option('--stream-type <type>', 'of all streams of this type')
        .option('--updated-after <instant>', 'only of those updated at or after this instant')
        .action(take),
    )
    .addCommand(
      withPage(storeCommand('list', 'Print a page of the snapshots of a decider, or of a stream.'))
        .option('--decider <name>', 'of this decider')
        .option('--stream <stream>', 'of this stream')
        .action(list),
    )
    .addCommand(
      storeCommand('drop', 'Drop the snapshots of a decider; it costs time at the next load, and no more.')
        .argument('<decider>', 'the name in its snapshot policy')
        .option('--version <number>', 'only of this version', ordinal)
        .option('--stream <stream>', 'only of this stream')
        .action(drop),
    )
}

async function take(decider: string, stream: string | undefined, choice: TakeChoice): Promise<void> {
  const { streamType, updatedAfter } = choice
  if ((stream === undefined) === (streamType === undefined)) {
    throw new InvalidArgument('stream', 'or --stream-type must be given, not both')
  }
  const taken = await stoppable('what was taken is kept', (signal) =>
    withStore(choice, 'writing', async (store): Promise<{ readonly report: object; readonly told: string }> => {
      if (streamType === undefined) {
        const one = await store.snapshots.take(decider, stream as string)
        return { report: one, told: `${one.stream} at revision ${one.revision}: ${plural(one.bytes, 'byte')}` }
      }
      const options = { signal, ...(updatedAfter !== undefined && { updatedAfter }) }
      const all = await store.snapshots.takeAll(decider, streamType, options)
      return { report: all, told: `${plural(all.streams, 'stream')} looked at: ${plural(all.taken, 'snapshot')} taken` }
    }),
  )
  if (taken) await (choice.json ? printJson(taken.report) : print(taken.told))
}

async function list(choice: ListChoice): Promise<void> {
  const { store: _, json, ...options } = choice
  const page = await withStore(choice, 'reading', (store) => store.snapshots.list(options))
  await printPage(page, page.snapshots, {
    json,
    noun: 'snapshot',
    cells: ({ decider, version, stream, revision, time, bytes }) => [
      ...[decider, `version ${version}`, stream, `revision ${revision}`, time, plural(bytes, 'byte')],
    ],
  })
}

async function drop(decider: string, choice: DropChoice): Promise<void> {
  const { store: _, json, ...which } = choice
  const report = await withStore(choice, 'writing', (store) => store.snapshots.drop({ decider, ...which }))
  await (json ? printJson(report) : print(`${plural(report.dropped, 'snapshot')} dropped`))
}
