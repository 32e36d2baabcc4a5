import { once } from 'node:events'
import type { Command } from 'commander'
import { open } from '../../open.ts'
import { loadApp } from '../app.ts'
import { appCommand, type DefinedChoice, json, untilSignal } from '../options.ts'
import { openPlaces, retentionOption, statesOption } from '../places.ts'

export function workCommand(): Command {
  return appCommand(
    'work',
    'Run projections, consumers, jobs and schedules, without a server, until a signal ends it.',
    'needed',
  )
    .addOption(retentionOption(json))
    .addOption(statesOption())
    .action(run)
}

/** Stops at SIGINT or SIGTERM: ends what is worked on, then closes the store. */
async function run({ store: url, app: file, ...choice }: DefinedChoice): Promise<void> {
  const app = await loadApp(file)
  const [{ pino }, { startWorkers }] = await Promise.all([import('pino'), import('../../hosts/node.ts')])
  await using places = await openPlaces(choice, app)
  await using store = await open(url, { ...app, ...places.options })
  const ended = untilSignal()
  const logger = pino()
  const { stop, ...working } = await startWorkers({ store, app: places.scheduling(app), logger })
  logger.info(working, 'working')
  if (!ended.aborted) await once(ended, 'abort')
  logger.info({}, 'stopping')
  await stop()
  logger.info({}, 'stopped')
}
