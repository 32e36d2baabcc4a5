import { type Command, Command as Group } from 'commander'
import type { Replayed } from '../../core/label.ts'
import type { Until } from '../../core/read.ts'
import {
  appCommand,
  type DefinedChoice,
  type StoreChoice,
  stoppable,
  storeCommand,
  until,
  withStore,
} from '../options.ts'
import { lateProgress, plural, print, printJson, printList } from '../output.ts'

interface Choice extends DefinedChoice {
  readonly at?: Until
  readonly from?: Until
  readonly as?: string
}

export function replayCommand(): Command {
  return appCommand('replay', 'Make a view, or all of them, from the log as they once were.', 'needed')
    .argument('<view>', 'the projection')
    .argument('[id]', 'which view; all of them need --as')
    .option('--at <revision or instant>', 'as it was then; default now', until)
    .option('--from <revision or instant>', 'only of what was recorded from then on', until)
    .option('--as <label>', 'beside the views in use, to be read as view~label; default: into the view')
    .addHelpText(
      'after',
      '\nOnly to look at a view as it was: daybook views get <view> <id> --at <revision or instant>',
    )
    .action(run)
}

export function replaysCommand(): Command {
  return new Group('replays')
    .description('What was replayed under a label.')
    .addCommand(
      storeCommand('list', 'Print what lies beside a view.').argument('<view>', 'the projection').action(list),
    )
    .addCommand(
      appCommand('drop', 'Erase what lies under a label.', 'needed')
        .argument('<view>', 'the projection')
        .argument('<label>', 'which one')
        .action(drop),
    )
}

async function run(view: string, id: string | undefined, choice: Choice): Promise<void> {
  const { store: _, app: __, json, ...options } = choice
  const bar = lateProgress(`${view}${options.as === undefined ? '' : `~${options.as}`}`)
  const report = await stoppable('nothing can be read of it; the same again begins anew', (signal) =>
    withStore(choice, 'writing', (store) => {
      const asked = { ...options, ...(id !== undefined && { id }), signal }
      const onProgress = ({ position, of }: { readonly position: number; readonly of: number }) =>
        bar.update(position, of)
      return store.projections.replay(view, { ...asked, onProgress }).finally(bar.stop)
    }),
  )
  if (report === undefined) return
  if (json) return printJson(report)
  await print(`${plural(report.views, 'view')} to be read as ${report.view}`)
}

async function list(view: string, choice: StoreChoice): Promise<void> {
  const all = await withStore(choice, 'reading', (store) => store.projections.replays(view))
  await printList(all, {
    json: choice.json,
    noun: 'replay',
    cells: ({ name, label, version, state, views, id, at, from }: Replayed) => [
      ...[`${name}~${label}`, `version ${version}`, state, plural(views, 'view')],
      [
        ...(id === undefined ? [] : [id]),
        ...(from === undefined ? [] : [`from ${from}`]),
        `at ${at ?? 'its making'}`,
      ].join(' '),
    ],
  })
}

async function drop(view: string, label: string, choice: DefinedChoice): Promise<void> {
  await withStore(choice, 'writing', (store) => store.projections.dropReplay(view, label))
  await (choice.json ? printJson({ view: `${view}~${label}`, dropped: true }) : print(`${view}~${label} is dropped`))
}
