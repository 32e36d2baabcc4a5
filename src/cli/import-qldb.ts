/** Import of a QLDB journal export: each block is proven, then recorded whole or not at all. */
import { checkAppends, type StreamEvents } from '../core/append.ts'
import { InvalidArgument } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { checkStreamType } from '../core/name.ts'
import type { Store } from '../core/store.ts'
import type { Block } from '../qldb/block.ts'
import { createMapper, type Mapping } from '../qldb/events.ts'
import { findExport, type JournalExport } from '../qldb/export.ts'
import { at, readJournal } from '../qldb/journal.ts'
import { type AppChoice, withStore } from './options.ts'
import { createProgress, note, plural, print, printJson } from './output.ts'

export interface QldbChoice extends AppChoice {
  /** `TABLE=type` each. */
  readonly map?: readonly string[]
  readonly numbers?: Mapping['numbers']
  readonly statements: boolean
  readonly dryRun?: true
  readonly unproven?: true
}

interface Counts {
  blocks: number
  revisions: number
  recorded: number
  repeated: number
  /** Of the revisions, those that are taken without proof. */
  unproven: number
}

interface StrandSpan {
  readonly strandId: string
  readonly first: number
  last: number
  /** Of the last block. */
  hash: string
}

export async function importQldb(folder: string, choice: QldbChoice): Promise<void> {
  const mapping = mappingOf(choice)
  const found = await findExport(folder, choice.unproven ? 'what can be' : 'all')
  const run = (store: Store | undefined) => importFiles(store, { found, mapping, quiet: choice.json === true })
  const { counts, strands } = await (choice.dryRun ? run(undefined) : withStore(choice, 'writing', run))
  if (choice.json) return printJson({ ledgers: found.ledgers, strands, ...counts })
  for (const { strandId, first, last, hash } of strands) {
    await print(`strand ${strandId}: blocks ${first} to ${last} are proven; the hash of the last is ${hash}`)
  }
  const { blocks, revisions, recorded, repeated, unproven } = counts
  const told = choice.dryRun
    ? 'none is recorded: it was a dry run'
    : `${recorded.toLocaleString('en')} recorded, ${repeated.toLocaleString('en')} there already`
  await print(`${plural(revisions, 'revision')} in ${plural(blocks, 'block')} read: ${told}`)
  if (unproven > 0) note(`${plural(unproven, 'revision')} cannot be proven from JSON: meta.qldb.proven is false`)
}

function mappingOf({ map = [], numbers = 'exact', statements }: QldbChoice): Mapping {
  const streamTypes = new Map<string, string>()
  for (const pair of map) {
    const [table = '', type = '', more] = pair.split('=')
    if (table === '' || more !== undefined) throw new InvalidArgument('--map', `must be TABLE=type, and is ${pair}`)
    checkStreamType(type, '--map')
    streamTypes.set(table, type)
  }
  return { streamTypes, numbers, statements: statements ? 'kept' : 'left out' }
}

interface Importing {
  readonly found: JournalExport
  readonly mapping: Mapping
  readonly quiet: boolean
}

/** A block's append, handed over with others: no two of them write to the same stream, so that none goes before its turn. */
interface Group {
  readonly blocks: { readonly place: string; readonly appends: readonly StreamEvents[] }[]
  readonly streams: Set<string>
  bytes: number
}

const groupBlocks = 1_000

async function importFiles(store: Store | undefined, { found, mapping, quiet }: Importing) {
  const counts: Counts = { blocks: 0, revisions: 0, recorded: 0, repeated: 0, unproven: 0 }
  const strands: StrandSpan[] = []
  const eventsOf = createMapper(mapping)
  const progress = createProgress(
    'import, bytes',
    found.files.reduce((all, { bytes }) => all + bytes, 0),
  )
  let group: Group = { blocks: [], streams: new Set(), bytes: 0 }

  const flush = async () => {
    const { blocks } = group
    group = { blocks: [], streams: new Set(), bytes: 0 }
    if (store === undefined) return
    const outcomes = await Promise.allSettled(blocks.map(({ appends }) => store.appendMany(appends)))
    for (const [index, outcome] of outcomes.entries()) {
      if (outcome.status === 'rejected') {
        if (!quiet) note(`${blocks[index]?.place} is not recorded:`)
        throw outcome.reason
      }
      for (const { ids, repeated } of outcome.value) counts[repeated ? 'repeated' : 'recorded'] += ids.length
    }
  }

  try {
    for await (const { block, unproven, place, bytes, end } of readJournal(found.files)) {
      const appends = at(place, () => {
        const made = eventsOf(block, unproven)
        if (made.length > 0) checkAppends(made)
        return made
      })
      if (appends.some(({ stream }) => group.streams.has(stream))) await flush()
      if (appends.length > 0) group.blocks.push({ place, appends })
      for (const { stream, events } of appends) {
        group.streams.add(stream)
        counts.revisions += events.length
      }
      counts.unproven += [...unproven].filter((at) => block.revisions[at]?.body).length
      counts.blocks++
      span(strands, block)
      group.bytes += bytes
      if (group.blocks.length >= groupBlocks || group.bytes >= limits.batchBytes) await flush()
      progress.update(end)
    }
    await flush()
  } catch (error) {
    // What is whole and proven is kept: the same import goes on there.
    await flush()
    throw error
  } finally {
    progress.stop()
  }
  return { counts, strands }
}

function span(strands: StrandSpan[], { strandId, sequenceNo, blockHash }: Block): void {
  const hash = Buffer.from(blockHash).toString('base64')
  const open = strands.at(-1)
  if (open?.strandId !== strandId) strands.push({ strandId, first: sequenceNo, last: sequenceNo, hash })
  else Object.assign(open, { last: sequenceNo, hash })
}
