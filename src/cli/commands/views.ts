import { type Command, Command as Group, InvalidArgumentError } from 'commander'
import type { IndexValue } from '../../core/document.ts'
import type { Until } from '../../core/read.ts'
import type { GetOptions, ViewPage, ViewQuery } from '../../core/view.ts'
import {
  appCommand,
  type DefinedChoice,
  eventPlace,
  ordinal,
  type PageChoice,
  until,
  withPage,
  withStore,
} from '../options.ts'
import { exitCodes, note, print, printJson, printPage } from '../output.ts'

type Equals = NonNullable<ViewQuery['equals']>

interface GetChoice extends DefinedChoice {
  readonly at?: Until
  readonly from?: Until
  readonly after?: NonNullable<GetOptions['after']>
  readonly timeoutMs?: number
}

interface QueryChoice extends DefinedChoice, PageChoice {
  readonly index?: string
  readonly equals?: Equals
  readonly from?: IndexValue
  readonly to?: IndexValue
  readonly backwards?: true
}

export function viewsCommand(): Command {
  return new Group('views')
    .description('What projections make of the events.')
    .addCommand(
      appCommand('get', 'Print a view; as it is, or as it was.', 'needed')
        .argument('<view>', 'the projection, or what was replayed as view~label')
        .argument('<id>', 'which one')
        .option('--at <revision or instant>', 'as it was then, folded from the log', until)
        .option('--from <revision or instant>', 'only of what was recorded from then on', until)
        .option('--after <stream@revision>', 'wait until it holds this event', eventPlace)
        .option('--timeout-ms <ms>', 'how long to wait; default 5,000', ordinal)
        .action(get),
    )
    .addCommand(
      withPage(appCommand('query', 'Print a page of the views that one declared index serves.', 'needed'))
        .argument('<view>', 'the projection, or what was replayed as view~label')
        .option('--index <name>', 'the index; may be left out where the fields of --equals tell it')
        .option('--equals <field=value>', 'a value for each field of the index (repeatable)', equals)
        .option('--from <value>', 'only from this value of the field on that the index orders by', indexValue)
        .option('--to <value>', 'only up to and with this value', indexValue)
        .option('--backwards', 'last ones first')
        .addHelpText(
          'after',
          '\nA value is a number or true or false where it looks like one; a text, with "" around it.',
        )
        .action(query),
    )
    .addCommand(
      withPage(appCommand('search', 'Print a page of the views that hold all words of a text.', 'needed'))
        .argument('<view>', 'the projection, or what was replayed as view~label')
        .argument('<text>', 'words; of the last one a beginning is enough')
        .action(search),
    )
}

async function get(view: string, id: string, choice: GetChoice): Promise<void> {
  const { store: _, app: __, json, ...options } = choice
  const found = await withStore(choice, 'reading', (store) => store.views.get(view, id, options))
  if (found !== undefined) return json ? printJson(found) : print(JSON.stringify(found, null, 2))
  note(`There is no view "${id}" of "${view}"${options.at === undefined ? '' : ' then'}`)
  process.exitCode = exitCodes['not found']
}

async function query(view: string, choice: QueryChoice): Promise<void> {
  const { store: _, app: __, json: ___, backwards, ...asked } = choice
  const page = await withStore(choice, 'reading', (store) =>
    store.views.query(view, { ...asked, direction: backwards ? 'backwards' : 'forwards' }),
  )
  await printViews(page, choice)
}

async function search(view: string, words: string, choice: DefinedChoice & PageChoice): Promise<void> {
  const { store: _, app: __, json: ___, ...page } = choice
  const found = await withStore(choice, 'reading', (store) => store.views.search(view, { text: words, ...page }))
  await printViews(found, choice)
}

function printViews(page: ViewPage, { json }: DefinedChoice): Promise<void> {
  return printPage(page, page.views, { json, noun: 'view', cells: ({ id, view }) => [id, JSON.stringify(view)] })
}

function equals(value: string, previous: Equals = {}): Equals {
  const at = value.indexOf('=')
  if (at < 1) throw new InvalidArgumentError('It must be a field and its value: city=Bern.')
  return { ...previous, [value.slice(0, at)]: indexValue(value.slice(at + 1)) }
}

/** A number, true or false, or a text in quotes, as JSON has them; anything else is a text. */
function indexValue(value: string): IndexValue {
  if (!/^(true|false|-?\d+(\.\d+)?([eE][+-]?\d+)?|".*")$/.test(value)) return value
  try {
    return JSON.parse(value) as IndexValue
  } catch {
    return value
  }
}
