import { type Command, Option } from 'commander'
import { open } from '../../open.ts'
import { ordinal, type StoreChoice, storeCommand } from '../options.ts'

interface Choice extends StoreChoice {
  readonly port: number
  readonly host: string
}

export function serveCommand(): Command {
  return storeCommand('serve', 'Serve the store over HTTP until a signal ends it.')
    .addOption(new Option('--port <port>', 'the port; 0 for any free one').env('PORT').default(8080).argParser(ordinal))
    .addOption(new Option('--host <host>', 'the address to listen on').env('HOST').default('127.0.0.1'))
    .action(run)
}

/** Stops at SIGINT or SIGTERM: answers what was accepted, then closes the store. */
async function run({ store: url, port, host }: Choice): Promise<void> {
  // Half of the start-up time is the server's; no other command should wait for it.
  const { serve } = await import('../../hosts/node.ts')
  await using store = await open(url)
  const server = await serve({ store, port, host })
  await new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve())
  })
  await server.close()
}
