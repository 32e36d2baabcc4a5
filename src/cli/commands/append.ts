import { text } from 'node:stream/consumers'
import { type Command, InvalidArgumentError } from 'commander'
import type { Expected } from '../../core/errors.ts'
import type { Meta } from '../../core/event.ts'
import { parseJson } from '../../core/json.ts'
import { type AppChoice, appCommand, collect, json, ordinal, withStore } from '../options.ts'
import { print, printJson } from '../output.ts'

interface Choice extends AppChoice {
  readonly id?: string
  readonly tag?: readonly string[]
  readonly meta?: Meta
  readonly expected?: Expected
}

export function appendCommand(): Command {
  return appCommand('append', 'Append an event to a stream.', 'optional')
    .argument('<stream>', 'type and id: customer/42')
    .argument('<type>', 'the event type')
    .argument('[data]', 'the data as JSON; "-" reads it from the standard input')
    .option('--id <id>', 'the event id, which makes a retry safe')
    .option('--tag <tag>', 'a tag (may be repeated)', collect)
    .option('--meta <json>', 'meta as JSON', json)
    .option('--expected <revision>', `the stream's revision (0: new), "exists" or "any"`, expected)
    .action(run)
}

async function run(stream: string, type: string, data: string | undefined, choice: Choice): Promise<void> {
  const { id, tag: tags, meta, expected } = choice
  const value = data === undefined ? null : parseJson(data === '-' ? await text(process.stdin) : data, 'data')
  const event = { type, data: value, ...(id !== undefined && { id }), ...(tags && { tags }), ...(meta && { meta }) }
  const appended = await withStore(choice, 'writing', (store) =>
    store.append(stream, [event], expected === undefined ? {} : { expected }),
  )
  if (choice.json) return printJson(appended)
  const again = appended.repeated ? ' (it was there already)' : ''
  await print(`${stream} is at revision ${appended.revision}, position ${appended.position ?? 'not known yet'}${again}`)
}

function expected(value: string): Expected {
  if (value === 'any' || value === 'exists') return value
  if (!/^\d+$/.test(value)) throw new InvalidArgumentError('It must be a revision, "exists" or "any".')
  return ordinal(value)
}
