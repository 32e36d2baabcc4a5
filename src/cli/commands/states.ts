import { type Command, Command as Group } from 'commander'
import type { AppDefinition } from '../../core/app.ts'
import { InvalidArgument } from '../../core/errors.ts'
import { loadApp } from '../app.ts'
import { type AppChoice, appCommand, collect, type DefinedChoice, ordinal, stoppable, withStore } from '../options.ts'
import { lateProgress, plural, print, printJson, printList } from '../output.ts'
import { statesOption } from '../places.ts'

interface Choice extends AppChoice {
  readonly projection?: readonly string[]
}

interface RestoreChoice extends Choice, DefinedChoice {
  readonly app: string
  readonly number?: number
}

export function statesCommand(): Command {
  const about = (name: string, description: string, definitions: 'needed' | 'optional' = 'optional') =>
    appCommand(name, description, definitions).addOption(statesOption())
  return new Group('states')
    .description('All views written down at a position; the log can make them again, this is quicker.')
    .addCommand(
      about('take', 'Write the views down, while others write.')
        .option('--projection <name>', 'only of this projection (may be repeated)', collect)
        .action(take),
    )
    .addCommand(about('list', 'Print the state snapshots, the oldest first.').action(list))
    .addCommand(
      about('restore', 'Put the views of a snapshot back, and let them catch up with the log.', 'needed')
        .option('--number <number>', 'which one; default the newest', ordinal)
        .option('--projection <name>', 'only of this projection (may be repeated)', collect)
        .addHelpText('after', '\nWhat does not fit is refused before anything is changed.')
        .action(restore),
    )
    .addCommand(
      about('prune', 'Delete the oldest snapshots.')
        .requiredOption('--keep <count>', 'how many stay', ordinal)
        .action(prune),
    )
}

async function needStates({ states, app }: AppChoice): Promise<void> {
  const definitions: AppDefinition = app === undefined ? {} : await loadApp(app)
  if ((states ?? definitions.places?.states) !== undefined) return
  throw new InvalidArgument(
    '--states',
    'is needed: where state snapshots are kept, as file:./states or s3://bucket/prefix',
  )
}

async function take(choice: Choice): Promise<void> {
  await needStates(choice)
  const { projection: projections, json } = choice
  const taken = await stoppable('nothing of it counts', (signal) =>
    withStore(choice, 'reading', (store) => store.states.take({ ...(projections && { projections }), signal })),
  )
  if (taken === undefined) return
  if (json) return printJson(taken)
  const { number, position, leftOut } = taken
  const views = taken.projections.reduce((sum, one) => sum + one.views, 0)
  const of = plural(taken.projections.length, 'projection')
  await print(`state snapshot ${number} is taken at position ${position}: ${plural(views, 'view')} of ${of}`)
  for (const { name, reason } of leftOut) await print(`left out  ${name}  ${reason}`)
}

async function list(choice: Choice): Promise<void> {
  await needStates(choice)
  const states = await withStore(choice, 'reading', (store) => store.states.list())
  await printList(states, {
    json: choice.json,
    noun: 'state snapshot',
    cells: ({ number, madeAt, position, projections }) => [
      ...[`${number}`, madeAt, `position ${position}`],
      projections.map(({ name, version, views }) => `${name}@${version} (${views.toLocaleString('en')})`).join(', '),
    ],
  })
}

async function restore(choice: RestoreChoice): Promise<void> {
  await needStates(choice)
  const { projection: projections, number, json } = choice
  const restored = await stoppable('what was begun is built from the log, where the workers run', (signal) =>
    withStore(choice, 'writing', async (store) => {
      let told = ''
      let bar = lateProgress('restore')
      return store.states
        .restore({
          ...{ ...(projections && { projections }), ...(number !== undefined && { number }), signal },
          onProgress({ projection, phase, done, of }) {
            if (told !== `${projection} ${phase}`) bar.stop()
            if (told !== `${projection} ${phase}`) bar = lateProgress(`${projection}, ${phase}`)
            told = `${projection} ${phase}`
            bar.update(done, of)
          },
        })
        .finally(() => bar.stop())
    }),
  )
  if (restored === undefined) return
  if (json) return printJson(restored)
  for (const { name, version, views, position } of restored.projections) {
    const how = position === 0 ? 'built from the log' : `${plural(views, 'view')} put back, caught up from ${position}`
    await print(`${name}, version ${version}: ${how}`)
  }
}

async function prune(choice: Choice & { readonly keep: number }): Promise<void> {
  await needStates(choice)
  const report = await withStore(choice, 'reading', (store) => store.states.prune({ keep: choice.keep }))
  await (choice.json ? printJson(report) : print(`${plural(report.pruned.length, 'state snapshot')} deleted`))
}
