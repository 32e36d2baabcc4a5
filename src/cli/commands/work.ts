import { once } from 'node:events'
import type { Command } from 'commander'
import { open } from '../../open.ts'
import { loadApp } from '../app.ts'
import { appCommand, type DefinedChoice, encryptionOf, json, untilSignal } from '../options.ts'
import { openPlaces, retentionOption, statesOption } from '../places.ts'
import { ledgerOf, type SignerChoice, withSealing } from '../signing.ts'

interface Choice extends DefinedChoice, SignerChoice {}

export function workCommand(): Command {
  const told = 'Run projections, consumers, jobs and schedules, without a server, until a signal ends it.'
  return withSealing(appCommand('work', told, 'needed'))
    .addOption(retentionOption(json))
    .addOption(statesOption())
    .action(run)
}

/** Stops at SIGINT or SIGTERM: ends what is worked on, then closes the store. */
async function run({ store: url, app: file, ...choice }: Choice): Promise<void> {
  const app = await loadApp(file)
  const [{ pino }, { startWorkers }] = await Promise.all([import('pino'), import('../../hosts/node.ts')])
  const [ledger, encryption] = [await ledgerOf(choice), await encryptionOf(choice)]
  await using places = await openPlaces(choice, app)
  await using store = await open(url, { ...app, ...places.options, ...encryption, ledger })
  const ended = untilSignal()
  const logger = pino()
  const { stop, ...working } = await startWorkers({ store, app: places.scheduling(app), logger })
  logger.info(working, 'working')
  if (!ended.aborted) await once(ended, 'abort')
  logger.info({}, 'stopping')
  await stop()
  logger.info({}, 'stopped')
}
