import { once } from 'node:events'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { InvalidArgument } from '../../core/errors.ts'
import type { Storage } from '../../core/storage.ts'
import { openStore } from '../../core/store.ts'
import type { Access } from '../../http/access.ts'
import type { JwtOptions } from '../../http/jwt.ts'
import { keyAccess, openKeys } from '../../http/keys.ts'
import { openStorage } from '../../open.ts'
import { loadApp } from '../app.ts'
import { type AppChoice, appCommand, collect, json, ordinal, untilSignal } from '../options.ts'
import { backupsOption, openPlaces, retentionOption, statesOption } from '../places.ts'

interface Choice extends AppChoice {
  readonly workers: boolean
  readonly port: number
  readonly host: string
  readonly trustedHost?: readonly string[]
  readonly corsOrigin?: readonly string[]
  readonly rateLimit?: number
  readonly principalInMeta?: true
  readonly jwtJwks?: string
  readonly jwtIssuer?: string
  readonly jwtAudience?: string
  readonly jwtScopeClaim?: string
  readonly jwtScopes?: JwtOptions['scopes']
}

export function serveCommand(): Command {
  return appCommand('serve', 'Serve the store over HTTP, and work for it, until a signal ends it.', 'optional')
    .addOption(new Option('--port <port>', 'the port; 0 for any free one').env('PORT').default(8080).argParser(ordinal))
    .addOption(new Option('--host <host>', 'the address to listen on').env('HOST').default('127.0.0.1'))
    .addOption(retentionOption(json))
    .addOption(statesOption())
    .addOption(backupsOption())
    .option('--no-workers', 'only serve: "daybook work" does the rest elsewhere')
    .addOption(
      new Option('--trusted-host <name>', 'a name by which a server without access rules may be asked (repeatable)')
        .env('DAYBOOK_TRUSTED_HOST')
        .argParser(collect),
    )
    .addOption(
      new Option('--cors-origin <origin>', 'an origin whose pages may ask (repeatable)')
        .env('DAYBOOK_CORS_ORIGIN')
        .argParser(collect),
    )
    .addOption(
      new Option('--rate-limit <requests>', 'requests a second for each principal')
        .env('DAYBOOK_RATE_LIMIT')
        .argParser(ordinal),
    )
    .addOption(
      new Option('--principal-in-meta', "write the principal's name into the meta of the events that it appends").env(
        'DAYBOOK_PRINCIPAL_IN_META',
      ),
    )
    .addOption(
      new Option('--jwt-jwks <url>', "take signed tokens: where their issuer's keys are").env('DAYBOOK_JWT_JWKS'),
    )
    .addOption(new Option('--jwt-issuer <issuer>', 'who must have issued them').env('DAYBOOK_JWT_ISSUER'))
    .addOption(new Option('--jwt-audience <audience>', 'for whom they must be').env('DAYBOOK_JWT_AUDIENCE'))
    .addOption(new Option('--jwt-scope-claim <claim>', 'the claim with the scopes').env('DAYBOOK_JWT_SCOPE_CLAIM'))
    .addOption(
      new Option('--jwt-scopes <json>', 'what its values mean: {"editor":["read:*","append:*"]}')
        .env('DAYBOOK_JWT_SCOPES')
        .argParser(scopes),
    )
    .addHelpText(
      'after',
      '\nFrom the first API key on (daybook keys add), or with an issuer of tokens, every request needs a key or a token.',
    )
    .action(run)
}

/** Stops at SIGINT or SIGTERM: answers what was accepted, ends what is worked on, then closes the store. */
async function run({ store: url, app: file, workers, port, host: address, ...choice }: Choice): Promise<void> {
  // Half of the start-up time is the server's; no other command should wait for it.
  const [{ pino }, host] = await Promise.all([import('pino'), import('../../hosts/node.ts')])
  const { createMetrics, processTracer, serve, startWorkers } = host
  const app = file === undefined ? {} : await loadApp(file)
  const metrics = createMetrics()
  const observer = { tracer: processTracer(), ended: metrics.ended }
  await using places = await openPlaces(choice, app)
  const storage = await openStorage(url)
  await using store = await openStore(storage, { ...app, ...places.options, observer })
  const access = await accessOf(storage, choice)
  const ended = untilSignal()
  const logger = pino()
  const server = await serve({
    ...{ store, port, host: address, metrics, logger },
    ...(access && { access }),
    ...(choice.trustedHost && { trustedHosts: choice.trustedHost }),
    ...(choice.corsOrigin && { corsOrigins: choice.corsOrigin }),
    ...(choice.rateLimit !== undefined && { ratePerSecond: choice.rateLimit }),
    ...(choice.principalInMeta && { principalInMeta: true }),
  })
  const working = workers
    ? await startWorkers({ store, app: places.scheduling(app), logger }).catch(closing(server))
    : undefined
  if (!ended.aborted) await once(ended, 'abort')
  await Promise.all([server.close(), working?.stop()])
}

/** What keeps the workers from starting ends the server too: half of what was asked for would be overlooked. */
function closing(server: { close(): Promise<void> }): (error: unknown) => Promise<never> {
  return async (error) => {
    await server.close()
    throw error
  }
}

/** The rules that there are: keys from the first one on, tokens where an issuer is named. */
async function accessOf(
  storage: Storage,
  choice: Omit<Choice, 'store' | 'workers' | 'port' | 'host'>,
): Promise<Access | undefined> {
  const { jwtJwks: jwks, jwtIssuer: issuer, jwtAudience: audience, jwtScopeClaim, jwtScopes } = choice
  const hasKeys = await (await openKeys(storage)).inUse()
  const given = [jwks, issuer, audience].filter((value) => value !== undefined).length
  if (given > 0 && given < 3) throw new InvalidArgument('jwt', 'needs --jwt-jwks, --jwt-issuer and --jwt-audience')
  if (!hasKeys && given === 0) return undefined
  if (jwks === undefined || issuer === undefined || audience === undefined) return { keys: keyAccess(storage) }
  const { jwtAccess } = await import('../../http/jwt.ts')
  const jwt = await jwtAccess({
    jwks,
    issuer,
    audience,
    ...(jwtScopeClaim !== undefined && { scopeClaim: jwtScopeClaim }),
    ...(jwtScopes && { scopes: jwtScopes }),
  })
  return { keys: keyAccess(storage), jwt }
}

function scopes(value: string): JwtOptions['scopes'] {
  const parsed = json(value)
  const lists = typeof parsed === 'object' && parsed !== null ? Object.values(parsed) : [undefined]
  const good = lists.every((list) => Array.isArray(list) && list.every((scope) => typeof scope === 'string'))
  if (!good) throw new InvalidArgumentError('It must be an object of lists: {"editor":["read:*","append:*"]}.')
  return parsed as JwtOptions['scopes']
}
