/**
 * Import: what others have exported; `import-qldb.ts` has that of QLDB. Each line of NDJSON is an append of its own, so that a second import, or one that goes on after a crash,
 * changes nothing that is there. A line without an id gets one that follows from what it says and where.
 */
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { type Command, Option } from 'commander'
import { checkAppends } from '../../core/append.ts'
import { InvalidArgument, isStorageFault, isStoreError } from '../../core/errors.ts'
import type { NewEvent } from '../../core/event.ts'
import { derivedId } from '../../core/id.ts'
import { limits } from '../../core/limits.ts'
import { checkStream } from '../../core/name.ts'
import { sortedTags } from '../../core/query.ts'
import type { QldbChoice } from '../import-qldb.ts'
import { type Line, readLines } from '../lines.ts'
import { appCommand, collect, withStore } from '../options.ts'
import { createProgress, exitCodes, note, plural, print, printJson } from '../output.ts'

interface Choice extends QldbChoice {
  readonly from: 'ndjson' | 'qldb-export'
  readonly onError?: 'stop' | 'skip'
}

interface ImportedLine {
  readonly line: number
  readonly stream: string
  readonly event: NewEvent
}

export function importCommand(): Command {
  return appCommand(
    'import',
    'Append the events of an NDJSON file, or of an export of QLDB. Safe to repeat.',
    'optional',
  )
    .argument('<file>', 'where from; "-" is the standard input; of QLDB the folder of the export')
    .addOption(
      new Option('--from <format>', 'what it is: events, one a line, or a journal that QLDB has exported')
        .choices(['ndjson', 'qldb-export'])
        .default('ndjson'),
    )
    .addOption(
      new Option('--on-error <how>', 'what to do at a line that cannot be recorded (ndjson; default: stop)').choices([
        'stop',
        'skip',
      ]),
    )
    .option('--map <table=type>', 'the stream type of a table (qldb-export; may be repeated)', collect)
    .addOption(
      new Option('--numbers <how>', 'as JSON numbers, or decimals as texts (qldb-export; default: exact)').choices([
        'exact',
        'text',
      ]),
    )
    .option('--no-statements', 'leave the statements out of meta (qldb-export)')
    .option('--unproven', 'take an export in JSON, and mark what JSON cannot prove (qldb-export)')
    .option('--dry-run', 'read and prove all, and record nothing (qldb-export)')
    .addHelpText(
      'after',
      `\nA line: { "stream", "type", "data", "meta", "tags", "id" }; revision, position and time of an export are ignored.`,
    )
    .action(run)
}

async function run(file: string, choice: Choice): Promise<void> {
  refuseStrangers(choice)
  if (choice.from === 'ndjson') return importLines(file, choice)
  const { importQldb } = await import('../import-qldb.ts')
  return importQldb(file, choice)
}

/** An option of the other format would do nothing. */
function refuseStrangers({ from, onError, map, numbers, statements, dryRun, unproven }: Choice): void {
  const given = {
    ndjson: { '--on-error': onError },
    'qldb-export': {
      '--map': map,
      '--numbers': numbers,
      '--no-statements': statements ? undefined : true,
      '--dry-run': dryRun,
      '--unproven': unproven,
    },
  }
  const other = from === 'ndjson' ? 'qldb-export' : 'ndjson'
  const stranger = Object.entries(given[other]).find(([, value]) => value !== undefined)
  if (stranger) throw new InvalidArgument(stranger[0], `goes only with --from ${other}`)
}

async function bytesOf(file: string): Promise<number> {
  const found = await stat(file).catch((error: Error) => {
    throw new InvalidArgument('file', `${file} cannot be read: ${error.message}`)
  })
  if (found.isDirectory()) throw new InvalidArgument('file', `${file} is a folder; --from qldb-export reads one`)
  return found.size
}

async function importLines(file: string, choice: Choice): Promise<void> {
  const counts = { read: 0, recorded: 0, repeated: 0, skipped: 0 }
  await withStore(choice, 'writing', async (store) => {
    const progress = createProgress('import, bytes', file === '-' ? 0 : await bytesOf(file))
    const input = file === '-' ? process.stdin : createReadStream(file)
    const ordinals = new Map<string, number>()
    let group: ImportedLine[] = []
    let groupBytes = 0

    const refuse = (line: number, error: unknown) => {
      if (!isStoreError(error) || isStorageFault(error)) throw error
      // A line is an append of one event.
      note(`line ${line}: ${error.message.replace('events[0].', '')}`)
      counts.skipped++
      if (choice.onError !== 'skip') throw new Stopped()
    }
    const flush = async () => {
      const lines = group
      group = []
      groupBytes = 0
      const outcomes = await Promise.allSettled(lines.map(({ stream, event }) => store.append(stream, [event])))
      for (const [index, outcome] of outcomes.entries()) {
        if (outcome.status === 'rejected') refuse(lines[index]?.line ?? 0, outcome.reason)
        else counts[outcome.value.repeated ? 'repeated' : 'recorded']++
      }
    }

    try {
      for await (const line of readLines(input)) {
        counts.read++
        try {
          group.push(parseLine(line, ordinals))
        } catch (error) {
          await flush()
          refuse(line.number, error)
        }
        groupBytes += line.bytes
        if (group.length >= groupLines || groupBytes >= limits.batchBytes) await flush()
        progress.update(line.end)
      }
      await flush()
    } catch (error) {
      if (!(error instanceof Stopped)) throw error
      process.exitCode = exitCodes['bad input']
    } finally {
      progress.stop()
    }
  })
  if (choice.json) return printJson(counts)
  const { read, recorded, repeated, skipped } = counts
  const there = `${recorded.toLocaleString('en')} recorded, ${repeated.toLocaleString('en')} there already`
  await print(`${plural(read, 'line')} read: ${there}, ${skipped.toLocaleString('en')} refused`)
}

/** Lines that are handed over together. */
const groupLines = 1_000

/** A line was refused, and the import was told to stop there. */
class Stopped extends Error {}

const known = new Set(['stream', 'type', 'data', 'meta', 'tags', 'id', 'revision', 'position', 'time'])

/** Throws where the line is no event; `ordinals` counts the lines of each stream. */
function parseLine(line: Line, ordinals: Map<string, number>): ImportedLine {
  const value = line.parse()
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new InvalidArgument('line', 'must be an object: { "stream": …, "type": …, "data": … }')
  }
  const { stream, type, data = null, meta = null, tags = [], id } = value as Partial<NewEvent> & { stream?: string }
  if (typeof stream !== 'string') throw new InvalidArgument('stream', 'is missing')
  checkStream(stream)
  const ordinal = (ordinals.get(stream) ?? 0) + 1
  ordinals.set(stream, ordinal)
  const unknown = Object.keys(value).find((name) => !known.has(name))
  if (unknown !== undefined) throw new InvalidArgument(unknown, 'is no field of an event')
  if (!Array.isArray(tags)) throw new InvalidArgument('tags', 'must be a list of texts')
  if (typeof type !== 'string') throw new InvalidArgument('type', 'is missing')
  // The ordinal tells equal lines of one stream apart.
  const derived = () => derivedId([stream, ordinal, type, sortedTags(tags), data, meta])
  const event = { type, data, meta, tags, id: id ?? derived() }
  checkAppends([{ stream, events: [event] }])
  return { line: line.number, stream, event }
}
