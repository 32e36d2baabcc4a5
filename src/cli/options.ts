/** Options that several commands share, and how their texts are read. */
import { Command, InvalidArgumentError, Option } from 'commander'
import { isStoreError } from '../core/errors.ts'
import { parseJson } from '../core/json.ts'
import type { Until } from '../core/read.ts'
import type { EmbeddedStore } from '../core/store.ts'
import { parseInstant } from '../core/time.ts'
import { open } from '../open.ts'
import { loadApp } from './app.ts'
import { exitCodes, note } from './output.ts'
import { archiveOption, openPlaces, type PlacesChoice } from './places.ts'

export interface StoreChoice extends PlacesChoice {
  readonly store: string
  readonly json?: true
}

export interface AppChoice extends StoreChoice {
  readonly app?: string
}

export interface DefinedChoice extends AppChoice {
  readonly app: string
}

export interface PageChoice {
  readonly limit?: number
  readonly cursor?: string
}

export interface FilterChoice {
  readonly streamType?: readonly string[]
  readonly eventType?: readonly string[]
  readonly tag?: readonly string[]
}

/** A command with the options that all have. */
export function storeCommand(name: string, description: string): Command {
  return new Command(name)
    .description(description)
    .addOption(
      new Option('--store <url>', 'the store: sqlite:FILE, postgres://HOST/DATABASE, dynamodb:TABLE or memory:')
        .env('DAYBOOK_STORE')
        .default('sqlite:./daybook.db'),
    )
    .addOption(archiveOption())
    .option('--json', 'print JSON, for scripts')
}

/** A command that goes by an application's definitions: it wants them, or can do without where the store does. */
export function appCommand(name: string, description: string, definitions: 'needed' | 'optional'): Command {
  const app = new Option('--app <file>', "the application's definitions: a module that exports defineApp({ … })")
  return storeCommand(name, description).addOption(app.env('DAYBOOK_APP').makeOptionMandatory(definitions === 'needed'))
}

export function withPage(command: Command): Command {
  return command
    .option('--limit <count>', 'at most so many, 1 to 1,000; default 100', ordinal)
    .option('--cursor <cursor>', 'go on where a page ended')
}

export function withFilter(command: Command): Command {
  return command
    .option('--stream-type <type>', 'only streams of this type (may be repeated: any of them)', collect)
    .option('--event-type <type>', 'only events of this type (may be repeated: any of them)', collect)
    .option('--tag <tag>', 'only events with this tag (may be repeated: all of them)', collect)
}

export function filterOf({ streamType, eventType, tag }: FilterChoice) {
  return {
    ...(streamType && { streamTypes: streamType }),
    ...(eventType && { types: eventType }),
    ...(tag && { tags: tag }),
  }
}

/** Runs with the store open, by the application's definitions if there are any, and closes it whatever happens. */
export async function withStore<Result>(
  { store: url, app, json, ...choice }: AppChoice,
  use: 'reading' | 'writing',
  run: (store: EmbeddedStore) => Promise<Result>,
): Promise<Result> {
  const definitions = app === undefined ? {} : await loadApp(app)
  await using places = await openPlaces(choice, definitions)
  const readOnly = use === 'reading' && !url.startsWith('memory:')
  try {
    await using store = await open(url, { ...definitions, ...places.options, readOnly })
    return await run(store)
  } catch (error) {
    if (app === undefined && !json && isStoreError(error, 'projection-missing')) {
      note('The definition is in the application: name its file by --app, or by DAYBOOK_APP')
    }
    throw error
  }
}

/** Aborted at SIGINT or SIGTERM. */
export function untilSignal(): AbortSignal {
  const ended = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => ended.abort())
  return ended.signal
}

/** Runs until it has ended or a signal ends it; `after` says what a signal leaves. */
export async function stoppable<Result>(
  after: string,
  run: (signal: AbortSignal) => Promise<Result>,
): Promise<Result | undefined> {
  const signal = untilSignal()
  try {
    return await run(signal)
  } catch (error) {
    if (!signal.aborted) throw error
    note(`stopped; ${after}`)
    process.exitCode = exitCodes.failed
    return undefined
  }
}

export function collect(value: string, previous: readonly string[] = []): readonly string[] {
  return [...previous, value]
}

export function ordinal(value: string): number {
  const number = Number(value)
  if (!/^\d+$/.test(value) || !Number.isSafeInteger(number)) throw new InvalidArgumentError('It must be 0, 1, 2 …')
  return number
}

/** A revision or position, or an instant. */
export function until(value: string): Until {
  if (/^\d+$/.test(value)) return ordinal(value)
  return orSay(() => {
    parseInstant(value, 'until')
    return value
  })
}

/** `customer/42@3`: an event by its stream and revision, as an append has answered. */
export function eventPlace(value: string): { readonly stream: string; readonly revision: number } {
  const at = value.lastIndexOf('@')
  if (at < 1) throw new InvalidArgumentError('It must be a stream and a revision: customer/42@3.')
  return { stream: value.slice(0, at), revision: ordinal(value.slice(at + 1)) }
}

export function json(value: string): unknown {
  return orSay(() => parseJson(value, ''))
}

/** What the core says of a text, as what commander says of an option. */
function orSay<Result>(read: () => Result): Result {
  try {
    return read()
  } catch (error) {
    if (!isStoreError(error)) throw error
    throw new InvalidArgumentError('reason' in error ? `It ${String(error.reason)}.` : error.message)
  }
}
