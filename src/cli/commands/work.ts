import { once } from 'node:events'
import type { Command } from 'commander'
import { open } from '../../open.ts'
import { loadApp } from '../app.ts'
import { appCommand, type DefinedChoice, encryptionOf, untilSignal } from '../options.ts'

export function workCommand(): Command {
  return appCommand(
    'work',
    'Run projections, consumers, jobs and schedules, without a server, until a signal ends it.',
    'needed',
  ).action(run)
}

/** Stops at SIGINT or SIGTERM: ends what is worked on, then closes the store. */
async function run({ store: url, app: file, ...choice }: DefinedChoice): Promise<void> {
  const app = await loadApp(file)
  const [{ pino }, { startWorkers }] = await Promise.all([import('pino'), import('../../hosts/node.ts')])
  await using store = await open(url, { ...app, ...(await encryptionOf(choice)) })
  const ended = untilSignal()
  const logger = pino()
  const { stop, ...working } = await startWorkers({ store, app, logger })
  logger.info(working, 'working')
  if (!ended.aborted) await once(ended, 'abort')
  logger.info({}, 'stopping')
  await stop()
  logger.info({}, 'stopped')
}
