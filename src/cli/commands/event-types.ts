import { readFile } from 'node:fs/promises'
import { text } from 'node:stream/consumers'
import { type Command, Command as Group } from 'commander'
import type { EventTypeDeclaration } from '../../core/event-type.ts'
import { parseJson } from '../../core/json.ts'
import { EventTypeNotFound } from '../../core/work-errors.ts'
import { type StoreChoice, stoppable, storeCommand, withStore } from '../options.ts'
import { plural, print, printJson, printList } from '../output.ts'

export function eventTypesCommand(): Command {
  return new Group('event-types')
    .description('What events of a type must look like, whoever writes them.')
    .addCommand(
      storeCommand('declare', 'Declare event types; the same again changes nothing.')
        .argument('<file>', 'a declaration as JSON { "type", "version", "schema", … }, or a list of them; "-" reads it')
        .action(declare),
    )
    .addCommand(storeCommand('list', 'Print the types that are declared.').action(list))
    .addCommand(typed(storeCommand('get', 'Print the declaration of a type, with all its versions.')).action(get))
    .addCommand(typed(storeCommand('retire', 'Let no event of a type be written any more.')).action(retire))
}

function typed(command: Command): Command {
  return command.argument('<type>', 'the event type')
}

async function declare(file: string, choice: StoreChoice): Promise<void> {
  const parsed = parseJson(file === '-' ? await text(process.stdin) : await readFile(file, 'utf8'), '')
  // What is no declaration the catalogue refuses.
  const declarations = (Array.isArray(parsed) ? parsed : [parsed]) as EventTypeDeclaration[]
  await stoppable('what was printed is declared, and no more', (signal) =>
    withStore(choice, 'writing', async (store) => {
      for (const declaration of declarations) {
        const declared = await store.eventTypes.declare(declaration, { signal })
        await (choice.json ? printJson(declared) : print(`${declared.type} is at version ${declared.version}`))
      }
    }),
  )
}

async function list(choice: StoreChoice): Promise<void> {
  const all = await withStore(choice, 'reading', (store) => store.eventTypes.list())
  await printList(all, {
    json: choice.json,
    noun: 'event type',
    cells: ({ type, version, versions, retired }) => [
      ...[type, retired ? 'retired' : `version ${version}`],
      versions.at(-1)?.description ?? '',
    ],
  })
}

async function get(type: string, choice: StoreChoice): Promise<void> {
  const found = await withStore(choice, 'reading', (store) => store.eventTypes.get(type))
  if (found === undefined) throw new EventTypeNotFound(type)
  await (choice.json ? printJson(found) : print(JSON.stringify(found, null, 2)))
}

async function retire(type: string, choice: StoreChoice): Promise<void> {
  const { versions, ...retired } = await withStore(choice, 'writing', (store) => store.eventTypes.retire(type))
  if (choice.json) return printJson({ ...retired, versions })
  await print(`${type} is retired: ${plural(versions.length, 'version')} can still be read`)
}
