/**
 * An export of a QLDB journal in a folder, as it lay in its bucket: for each job a manifest of its start and of its end, and
 * data objects that are named by the blocks in them.
 */
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { InvalidArgument, LimitExceeded } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { fieldOf, fieldsOf, itemsAt } from './fields.ts'
import { type Ion, readIon } from './ion.ts'

export interface JournalExport {
  /** Of the manifests that are there. */
  readonly ledgers: readonly string[]
  /** By strand, and there by their blocks, without a gap. */
  readonly files: readonly DataFile[]
}

export interface DataFile {
  readonly path: string
  /** How messages call it. */
  readonly name: string
  readonly strandId: string
  /** Sequence numbers of the blocks in it. */
  readonly first: number
  readonly last: number
  readonly bytes: number
  /** JSON has lost types that hashes are made of, so that not all of it can be proven. */
  readonly format: 'ion' | 'json'
}

/** Whether an export in JSON is taken, of which not all can be proven. */
export type Proof = 'all' | 'what can be'

/** Throws `InvalidArgument` where the folder holds no finished export, or not all of it. */
export async function findExport(folder: string, proof: Proof = 'all'): Promise<JournalExport> {
  const found = await readdir(folder, { recursive: true }).catch((error) => cannotRead(folder, error))
  const names = found.map((name) => name.replaceAll('\\', '/')).sort()
  const finished = names.filter((name) => name.endsWith('.completed.manifest'))
  const started = names.filter((name) => name.endsWith('.started.manifest'))
  if (finished.length === 0) {
    const why = started.length > 0 ? 'the export has not ended' : 'it is no folder of an export, or not all of it'
    throw new InvalidArgument(folder, `has no *.completed.manifest: ${why}`)
  }
  const ledgers = new Set<string>()
  for (const name of started) {
    const ledger = fieldOf(await readManifest(folder, name), 'ledgerName')
    if (ledger?.type === 'string') ledgers.add(ledger.value)
  }
  const files = new Map<string, DataFile>()
  for (const name of finished) {
    const manifest = await readManifest(folder, name)
    if (fieldOf(manifest, 'keys') === undefined) throw new InvalidArgument(name, 'has no list of keys')
    for (const [at, key] of itemsAt(manifest, 'keys').entries()) {
      const file = await dataFile(folder, { names, key, proof, manifest: name, place: `${name}: keys[${at}]` })
      // Jobs over the same hours write the same objects.
      files.set(file.path, file)
    }
  }
  return { ledgers: [...ledgers], files: inOrder([...files.values()]) }
}

/** The bytes of a file, which must be no longer than anybody should hold. */
export async function readWhole(path: string, name: string): Promise<Uint8Array> {
  const { size } = await stat(path).catch((error) => cannotRead(name, error))
  if (size > limits.exportFileBytes) {
    throw new LimitExceeded({ limit: 'exportFileBytes', allowed: limits.exportFileBytes, actual: size }, name)
  }
  return readFile(path).catch((error) => cannotRead(name, error))
}

function cannotRead(name: string, error: Error): never {
  throw new InvalidArgument(name, `cannot be read: ${error.message}`)
}

async function readManifest(folder: string, name: string) {
  const bytes = await readWhole(join(folder, name), name)
  let values: readonly Ion[]
  try {
    values = [...readIon(bytes)].map(({ value }) => value)
  } catch (error) {
    throw new InvalidArgument(name, `is no Ion: ${(error as Error).message}`)
  }
  const [manifest, ...more] = values
  if (manifest?.type !== 'struct' || more.length > 0)
    throw new InvalidArgument(name, 'is no manifest: it must be a struct')
  return fieldsOf(manifest, name)
}

const objectName = /(?:^|\/)(\w+)\.(\d+)-(\d+)\.(\w+)$/

interface Key {
  /** All files of the folder. */
  readonly names: readonly string[]
  readonly key: Ion
  readonly proof: Proof
  /** In which it stands. */
  readonly manifest: string
  readonly place: string
}

async function dataFile(folder: string, { names, key, proof, manifest, place }: Key): Promise<DataFile> {
  const [, strandId = '', first = '', last = '', format] =
    key.type === 'string' ? (objectName.exec(key.value) ?? []) : []
  if (key.type !== 'string' || strandId === '') throw new InvalidArgument(place, 'is no key such as STRAND.0-99.ion')
  if (format === 'json' && proof === 'all') {
    const mend = 'take an export in Ion if there is one, or --unproven, which marks what cannot be proven'
    throw new InvalidArgument(place, `${key.value} is JSON, and lacks types that hashes are made of: ${mend}`)
  }
  const name = nameOf(key.value, { names, manifest })
  if (name === undefined) throw new InvalidArgument(place, `${key.value} is not in the folder`)
  const { size } = await stat(join(folder, name)).catch((error) => cannotRead(name, error))
  return {
    path: join(folder, name),
    name,
    strandId,
    first: Number(first),
    last: Number(last),
    bytes: size,
    format: format === 'json' ? 'json' : 'ion',
  }
}

/** The folder may be a copy of the bucket, or of any place in it, or hold such copies. */
function nameOf(key: string, { names, manifest }: Pick<Key, 'names' | 'manifest'>): string | undefined {
  const steps = key.split('/')
  const beside = manifest.slice(0, manifest.lastIndexOf('/') + 1)
  const ends = steps.map((_, at) => steps.slice(at).join('/'))
  return ends.flatMap((end) => [`${beside}${end}`, end]).find((name) => names.includes(name))
}

function inOrder(files: readonly DataFile[]): readonly DataFile[] {
  const ordered = files.toSorted((a, b) =>
    a.strandId === b.strandId ? a.first - b.first : a.strandId < b.strandId ? -1 : 1,
  )
  for (const [at, file] of ordered.entries()) {
    const before = ordered[at - 1]
    if (file.last < file.first) throw new InvalidArgument(file.name, 'ends before it begins, by its name')
    if (before?.strandId !== file.strandId || file.first === before.last + 1) continue
    const wrong = file.first > before.last ? `are missing before it` : `are in it again`
    const [from, to] = file.first > before.last ? [before.last + 1, file.first - 1] : [file.first, before.last]
    throw new InvalidArgument(file.name, `blocks ${from} to ${to} ${wrong}; the file before is ${before.name}`)
  }
  return ordered
}
