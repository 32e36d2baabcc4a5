/** Options that several commands share, and how their texts are read. */
import { Command, InvalidArgumentError, Option } from 'commander'
import { isStoreError } from '../core/errors.ts'
import { parseJson } from '../core/json.ts'
import type { Until } from '../core/read.ts'
import type { Store } from '../core/store.ts'
import { parseInstant } from '../core/time.ts'
import { open } from '../open.ts'

export interface StoreChoice {
  readonly store: string
  readonly json?: true
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
    .option('--json', 'print JSON, for scripts')
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

/** Runs with the store open, and closes it whatever happens. */
export async function withStore<Result>(
  { store: url }: StoreChoice,
  use: 'reading' | 'writing',
  run: (store: Store) => Promise<Result>,
): Promise<Result> {
  await using store = await open(url, { readOnly: use === 'reading' && !url.startsWith('memory:') })
  return await run(store)
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
