import { type Command, Command as Group } from 'commander'
import type { ArchiveReport } from '../../core/archive.ts'
import { InvalidArgument } from '../../core/errors.ts'
import { loadApp } from '../app.ts'
import {
  type AppChoice,
  appCommand,
  collect,
  json,
  type PageChoice,
  stoppable,
  withPage,
  withStore,
} from '../options.ts'
import { exitCodes, lateProgress, note, plural, print, printJson, printList, printPage } from '../output.ts'
import { retentionOption } from '../places.ts'

interface Choice extends AppChoice {
  readonly streamType?: readonly string[]
  readonly dryRun?: true
}

export function archiveCommand(): Command {
  const moving = (name: string, description: string) =>
    appCommand(name, description, 'optional')
      .addOption(retentionOption(json))
      .option('--stream-type <type>', 'only of this stream type (may be repeated)', collect)
  return new Group('archive')
    .description('Events that have left the storage for an object store, and are read as before.')
    .addCommand(moving('plan', 'Tell what a run would move now.').action(plan))
    .addCommand(
      moving('run', 'Move what the policies do not keep.')
        .option('--dry-run', 'only tell what would be moved, as "plan" does')
        .addHelpText('after', '\nWhat a stop or a crash leaves is finished by the next run.')
        .action(run),
    )
    .addCommand(
      withPage(appCommand('list', 'Print a page of the segments of a stream type.', 'optional'))
        .argument('<stream type>', 'whose')
        .action(list),
    )
    .addCommand(appCommand('verify', 'Read every segment, and hold it against the log.', 'optional').action(verify))
}

/** Without a place there is nothing to say of an archive. */
async function needArchive({ archive, app }: AppChoice): Promise<void> {
  const definitions = app === undefined ? {} : await loadApp(app)
  if ((archive ?? definitions.places?.archive) !== undefined) return
  throw new InvalidArgument('--archive', 'is needed: where segments are kept, as file:./archive or s3://bucket/prefix')
}

async function plan(choice: Choice): Promise<void> {
  await needArchive(choice)
  const { streamType: streamTypes } = choice
  const plans = await stoppable('nothing was written', (signal) =>
    withStore(choice, 'reading', (store) => store.archive.plan({ ...(streamTypes && { streamTypes }), signal })),
  )
  if (plans === undefined) return
  await printList(plans, {
    json: choice.json,
    noun: 'stream type',
    cells: ({ streamType, events, bytes }) => [
      streamType,
      `${plural(events, 'event')} would go`,
      plural(bytes, 'byte'),
    ],
  })
}

async function run(choice: Choice): Promise<void> {
  if (choice.dryRun) return plan(choice)
  await needArchive(choice)
  const { streamType: streamTypes } = choice
  const reports = await stoppable('what is unfinished is finished by the next run', (signal) =>
    withStore(choice, 'writing', async (store) => {
      const bar = lateProgress('archive')
      const asked = { ...(streamTypes && { streamTypes }), signal }
      const plans = await store.archive.plan(asked)
      const total = plans.reduce((sum, { events }) => sum + events, 0)
      const moved = new Map<string, number>()
      const onProgress = ({ streamType, events }: ArchiveReport) => {
        moved.set(streamType, events)
        bar.update(
          [...moved.values()].reduce((sum, count) => sum + count, 0),
          total,
        )
      }
      return store.archive.run({ ...asked, onProgress }).finally(bar.stop)
    }),
  )
  if (reports === undefined) return
  await printList(reports, {
    json: choice.json,
    noun: 'stream type',
    cells: ({ streamType, events, segments }) => [
      ...[streamType, `${plural(events, 'event')} moved`, plural(segments, 'segment')],
    ],
  })
}

async function list(streamType: string, choice: AppChoice & PageChoice): Promise<void> {
  await needArchive(choice)
  const { limit, cursor } = choice
  const asked = { streamType, ...(limit !== undefined && { limit }), ...(cursor !== undefined && { cursor }) }
  const page = await withStore(choice, 'reading', (store) => store.archive.segments(asked))
  await printPage(page, page.segments, {
    json: choice.json,
    noun: 'segment',
    cells: ({ id, first, last, ...segment }) => [
      ...[id, segment.state, `positions ${first} to ${last}`],
      ...(segment.state === 'writing' ? [] : [plural(segment.events, 'event'), plural(segment.bytes, 'byte')]),
    ],
  })
}

async function verify(choice: AppChoice): Promise<void> {
  await needArchive(choice)
  const found = await stoppable('nothing was written', (signal) =>
    withStore(choice, 'reading', (store) => store.archive.verify({ signal })),
  )
  if (found === undefined) return
  const { segments, events, damaged, unknown } = found
  if (damaged.length > 0) process.exitCode = exitCodes.failed
  if (choice.json) return printJson(found)
  for (const { key, reason } of damaged) await print(`damaged  ${key}  ${reason}`)
  for (const key of unknown) await print(`unknown  ${key}`)
  const told = damaged.length > 0 ? `${damaged.length} damaged` : 'all whole'
  note(`${plural(segments, 'segment')} of ${plural(events, 'event')}: ${told}`)
}
