import { type Command, Command as Group } from 'commander'
import { InvalidArgument } from '../../core/errors.ts'
import { type StoreChoice, storeCommand } from '../options.ts'
import { lateProgress, plural, print, printJson } from '../output.ts'

interface CreateChoice extends StoreChoice {
  readonly boundaryTags?: readonly string[]
}

/** Tables of DynamoDB: the one engine on which a place is made before it is used, and swept when one doubts. */
export function tableCommand(): Command {
  return new Group('table')
    .description('Tables of DynamoDB.')
    .addCommand(
      storeCommand('create', 'Make the table of a store; one that is there is left as it is.')
        .argument('[url]', 'the table, as dynamodb:shop?region=eu-central-1; default: the store')
        .option(
          '--boundary-tags <beginnings>',
          'beginnings of the tags that conditions may name, as seat:,course: (for good)',
          beginnings,
        )
        .action(create),
    )
    .addCommand(
      storeCommand('sweep', 'Look through the whole table, and give a position to every record that has none.')
        .argument('[url]', 'the table; default: the store')
        .action(sweep),
    )
}

async function create(url: string | undefined, { store, boundaryTags, json }: CreateChoice): Promise<void> {
  const { createTable, place } = await tableOf(url ?? store)
  const outcome = await createTable({ ...place, ...(boundaryTags && { boundaryTags }) })
  if (json) return printJson({ table: place.table, outcome })
  await print(`${place.table} ${outcome === 'made' ? 'was made' : 'is there already'}`)
}

async function sweep(url: string | undefined, { store, json }: StoreChoice): Promise<void> {
  const { dynamoSequencer, place } = await tableOf(url ?? store)
  const sequencer = await dynamoSequencer(place)
  const bar = lateProgress('sweep')
  const sweeping = sequencer.sweep({ onProgress: ({ items, ofItems }) => bar.update(items, ofItems) })
  const swept = await sweeping.finally(() => {
    bar.stop()
    return sequencer.close()
  })
  if (json) return printJson({ table: place.table, ...swept })
  await print(`${plural(swept.items, 'item')} looked at: ${plural(swept.positioned, 'record')} got a position`)
}

/** The storage is loaded by whoever wants a table of it, and by nobody else. */
async function tableOf(url: string) {
  if (!url.startsWith('dynamodb:')) {
    throw new InvalidArgument('store', 'is no table of DynamoDB; write dynamodb:shop?region=eu-central-1')
  }
  const { parseDynamoUrl, ...dynamodb } = await import('../../storage/dynamodb/storage.ts')
  return { ...dynamodb, place: parseDynamoUrl(url) }
}

function beginnings(value: string): readonly string[] {
  return value.split(',').map((tag) => tag.trim())
}
