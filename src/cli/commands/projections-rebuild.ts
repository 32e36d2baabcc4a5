import type { Command } from 'commander'
import { InvalidArgument } from '../../core/errors.ts'
import type { ProjectionStatus } from '../../core/projection-status.ts'
import type { RebuildOptions } from '../../core/projections.ts'
import { loadApp } from '../app.ts'
import { appCommand, type DefinedChoice, ordinal, stoppable, withStore } from '../options.ts'
import { lateProgress, note, print, printJson } from '../output.ts'

interface Choice extends DefinedChoice {
  readonly all?: true
  readonly key?: string
  readonly version?: number
  readonly byHand?: true
}

export function rebuildCommand(): Command {
  return appCommand('rebuild', 'Build views from the log, while others write; then let readers read them.', 'needed')
    .argument('[name]', 'the projection')
    .option('--all', 'every projection of the application, one after the other')
    .option('--key <id>', 'only this view')
    .option('--version <number>', 'which version; default the newest', ordinal)
    .option('--by-hand', 'keep a new version beside the one that is read, until "projections switch"')
    .addHelpText(
      'after',
      '\nA version that is read already is erased first, and built again. What a stop or a crash leaves is gone on with.',
    )
    .action(run)
}

async function run(name: string | undefined, choice: Choice): Promise<void> {
  const { all, key, version, byHand } = choice
  if ((name === undefined) === (all === undefined))
    throw new InvalidArgument('name', 'or --all must be given, not both')
  if (all && (key !== undefined || version !== undefined)) {
    throw new InvalidArgument(
      '--all',
      'builds whole projections in their newest version: leave --key and --version out',
    )
  }
  const names = name === undefined ? await namesIn(choice.app) : [name]
  const options: RebuildOptions = {
    ...(key !== undefined && { key }),
    ...(version !== undefined && { version }),
    ...(byHand && { switch: 'by-hand' }),
  }
  await stoppable('what is unfinished goes on when it is asked for again, and where the workers run', (signal) =>
    withStore(choice, 'writing', async (store) => {
      for (const one of names) {
        const bar = lateProgress(one)
        const started = performance.now()
        const told: RebuildOptions = {
          ...{ ...options, signal },
          onProgress: ({ position, of }) => bar.update(position, of),
          onTrouble: (error, retryInMs) => note(`-- ${String(error)}; again in ${Math.round(retryInMs)} ms --`),
        }
        const status = await store.projections.rebuild(one, told).finally(bar.stop)
        await tell(status, { json: choice.json, key, ms: performance.now() - started })
      }
    }),
  )
}

/** Each name once, those that keep views. */
async function namesIn(app: string): Promise<readonly string[]> {
  const { projections = [] } = await loadApp(app)
  const kept = projections.filter(({ lifecycle }) => lifecycle !== 'live')
  return [...new Set(kept.map(({ name }) => name))]
}

async function tell(
  status: ProjectionStatus,
  { json, key, ms }: { readonly json: true | undefined; readonly key: string | undefined; readonly ms: number },
): Promise<void> {
  if (json) return printJson(status)
  const { name, head, reads, versions } = status
  if (key !== undefined) return print(`view "${key}" of ${name} is built`)
  const beside = versions.findLast(({ version, state }) => state === 'dual' && version > (reads ?? 0))
  const read = beside ? `version ${beside.version} stands beside ${reads}` : `version ${reads} is read`
  const seconds = (ms / 1_000).toFixed(1)
  await print(`${name} is built of ${head.toLocaleString('en')} events in ${seconds} s: ${read}`)
}
