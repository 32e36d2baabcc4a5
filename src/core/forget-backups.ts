/**
 * Forgetting in backups that are within reach. First a backup is taken that holds the tombstones, so that a restore knows what
 * is closed, and so that none that was begun before can still be recorded; then what was left by backups that failed is
 * cleared away, and each chunk and list of documents that holds content of the streams is written anew without it. A manifest
 * is replaced by one that names them, in one step; what it named before is deleted. Every step can be repeated.
 */
import { type BackingUp, takeBackup } from './backup.ts'
import {
  type BackupManifest,
  folderOf,
  manifestKey,
  type Packed,
  pack,
  printManifest,
  readChain,
  readChunk,
  readManifest,
  readPacked,
} from './backup-chain.ts'
import type { PositionRange } from './closed-streams.ts'
import { canonicalJson } from './encoding.ts'
import { isStoreError, ObjectDamaged, StoreBusy } from './errors.ts'
import { hashOf } from './gzip.ts'
import { limits } from './limits.ts'
import { deleteObjects, getObject, keysUnder, type ObjectStore } from './object-store.ts'
import { type Parked, parkedItems, quieted } from './parked.ts'
import { forgottenRecord, lineOf, placeAt } from './record-line.ts'
import type { Kept } from './remnant.ts'
import { entriesHash } from './segment.ts'
import { backoffMs, sleep } from './turn.ts'

export interface BackupForgetting extends BackingUp {
  readonly kept: Kept
}

/** How far it is in one place; what is counted is what was found to hold content, whoever has written it anew. */
export interface BackupProgress {
  /** Number of the last backup that is done. */
  readonly after: number
  readonly rewritten: number
  /** Manifests of the first backups that are counted. */
  readonly names: readonly string[]
  /** One whose objects are being written anew, and how many. */
  readonly at?: { readonly number: number; readonly objects: number }
}

export const noBackups: BackupProgress = { after: 0, rewritten: 0, names: [] }

export interface ForgettingIn {
  readonly streams: ReadonlySet<string>
  /** Positions between which their events are. */
  readonly range: PositionRange
  /** Others, which stay, but whose documents may hold what is masked by now. */
  readonly masked: ReadonlySet<string>
  readonly objects: ObjectStore
}

/** Throws `ObjectDamaged` for what cannot be read, and leaves it as it is; `LogDiverged` for backups of another log. */
export async function forgetInBackups(
  tools: BackupForgetting,
  forgetting: ForgettingIn,
  { progress, save }: { readonly progress: BackupProgress; readonly save: (to: BackupProgress) => Promise<void> },
): Promise<BackupProgress> {
  const { streams, masked, objects } = forgetting
  const chain = await closedChain(tools, streams, objects)
  await sweep(tools, objects, chain)
  const rewriting = { ...tools, ...forgetting, mentions: mentioning([...streams, ...masked]) }
  let known = progress
  const keep = async (next: BackupProgress) => {
    known = next
    await save(next)
  }
  for (const { number } of chain) {
    if (number <= known.after) continue
    const begun = known.at?.number === number ? known.at.objects : undefined
    const begin = (found: number) => keep({ ...known, at: { number, objects: begun ?? found } })
    await rewrite(rewriting, number, begin)
    const { at } = known
    const names = [...known.names, manifestKey(number)].slice(0, limits.trailNames)
    if (at) await keep({ after: number, rewritten: known.rewritten + at.objects, names })
    else known = { ...known, after: number }
  }
  return known
}

/** The manifests of a place, which know by now that the streams are closed; none where it holds no backup. */
async function closedChain(
  tools: BackingUp,
  streams: ReadonlySet<string>,
  objects: ObjectStore,
): Promise<readonly BackupManifest[]> {
  for (let tries = 1; ; tries++) {
    const chain = (await readChain(objects)).map(({ manifest }) => manifest)
    // A first one may have been begun.
    if (chain.length === 0 && (await keysUnder(objects, 'backup/')).length === 0) return chain
    const known = new Set(chain.flatMap(({ closed }) => closed))
    if (chain.length > 0 && [...streams].every((stream) => known.has(stream))) return chain
    if (tries > limits.rewriteTries) throw new StoreBusy(`Others take backups in ${objects.name} all the time`, 1_000)
    await takeBackup(tools, objects).catch((error) => {
      if (!isStoreError(error, 'store-busy')) throw error
    })
    if (tries > 1) await sleep(backoffMs(tries, 5, 200))
  }
}

/** Objects of backups that were never recorded: their numbers are taken, so that they cannot be any more. */
async function sweep({ kept }: BackupForgetting, objects: ObjectStore, chain: readonly BackupManifest[]) {
  const folders = new Set(chain.map(folderOf))
  const newest = chain.at(-1)?.number ?? 0
  const left = (await keysUnder(objects, 'backup/')).filter((key) => {
    const [, number] = /^backup\/(\d{8})-[^/]*\//.exec(key) ?? []
    return Number(number) <= newest && !folders.has(key.slice(0, key.lastIndexOf('/') + 1))
  })
  await kept.delete(objects, left)
}

interface Rewriting extends BackupForgetting, ForgettingIn {
  /** False of a line that holds the name of none of the streams. */
  readonly mentions: (line: string) => boolean
}

/** Of many streams it is quicker to read each line. */
function mentioning(streams: readonly string[]): Rewriting['mentions'] {
  const names = streams.map((stream) => JSON.stringify(stream))
  return names.length > 4 ? () => true : (line) => names.some((name) => line.includes(name))
}

/** `begin` is told how many objects hold content, before any is written. */
async function rewrite(rewriting: Rewriting, number: number, begin: (objects: number) => Promise<void>): Promise<void> {
  const { objects } = rewriting
  for (let tries = 1; tries <= limits.rewriteTries; tries++) {
    const { manifest, etag } = await readManifest(objects, number)
    const written: string[] = []
    const done = await attempt({ ...rewriting, written }, { manifest, etag }, begin).catch(async (error) => {
      // Whoever was faster has deleted what was being read, or written.
      const now = isStoreError(error, 'object-damaged') ? await readManifest(objects, number) : undefined
      if (now === undefined || now.etag === etag) throw error
      return false
    })
    if (done) return
    await deleteObjects(objects, written)
  }
  throw new StoreBusy(`Others write backup ${number} in ${objects.name} anew all the time`, 1_000)
}

/** False where another has replaced the manifest meanwhile. */
async function attempt(
  rewriting: Rewriting & { readonly written: string[] },
  { manifest, etag }: { readonly manifest: BackupManifest; readonly etag: string },
  begin: (objects: number) => Promise<void>,
): Promise<boolean> {
  const { objects, kept } = rewriting
  const found = await holding(rewriting, manifest)
  const count = found.chunks.size + (found.documents ? 1 : 0)
  const others = async (of: BackupManifest) => {
    const own = new Set([...of.chunks, of.documents].map(({ key }) => key))
    return (await keysUnder(objects, folderOf(of))).filter((key) => !own.has(key))
  }
  if (count === 0 && (await others(manifest)).length === 0) return true
  if (count > 0) await begin(count)
  const next = await writeAnew(rewriting, manifest, found)
  const old = await others(next)
  const key = manifestKey(manifest.number)
  const { outcome } = await objects.put(key, await printManifest(next), { if: 'unchanged', etag })
  if (outcome === 'conflict') return false
  await kept.note(objects, key)
  await kept.delete(objects, old)
  return true
}

interface Holding {
  /** By index, with the position before each. */
  readonly chunks: ReadonlyMap<number, number>
  readonly documents: boolean
}

/** Which objects hold content of the streams. */
async function holding(rewriting: Rewriting, manifest: BackupManifest): Promise<Holding> {
  const { objects, range } = rewriting
  const chunks = new Map<number, number>()
  let position = manifest.from
  for (const [index, chunk] of manifest.chunks.entries()) {
    const before = position
    position += chunk.lines
    if (position < range.first || before >= range.last) continue
    const lines = await readPacked(objects, chunk)
    if (lines.some((line) => isContentOf(rewriting, line))) chunks.set(index, before)
  }
  const documents = await readPacked(objects, manifest.documents)
  return { chunks, documents: documents.some((line) => documentAfter(rewriting, line) !== line) }
}

function isContentOf({ streams, mentions }: Rewriting, line: string): boolean {
  if (!mentions(line)) return false
  const place = placeAt(line)
  return streams.has(place.stream) && (place.state === 'stored' || place.state === 'trimmed')
}

/** The line without content; undefined where nothing is left of it. */
function documentAfter({ streams, masked, mentions }: Rewriting, line: string): string | undefined {
  if (!mentions(line)) return line
  const { body, ...place } = JSON.parse(line) as DocumentLine
  const held = place.streams ?? []
  if (held.some((stream) => streams.has(stream))) return undefined
  if (!held.some((stream) => masked.has(stream))) return line
  if (place.collection !== parkedItems.collection) return undefined
  return `${canonicalJson(place).slice(0, -1)},"body":${canonicalJson(quieted(body as unknown as Parked))}}`
}

interface DocumentLine {
  readonly collection: string
  readonly key: string
  readonly streams?: readonly string[]
  readonly body: object
}

/** Tells the keys of what it writes, before it does. */
async function writeAnew(
  rewriting: Rewriting & { readonly written: string[] },
  manifest: BackupManifest,
  found: Holding,
): Promise<BackupManifest> {
  const { objects, streams, making, written } = rewriting
  const anew = async (of: Packed, lines: readonly string[]): Promise<Packed> => {
    const [name = ''] = of.key.slice(folderOf(manifest).length).split('.')
    const key = `${folderOf(manifest)}${name}.${making.newId()}.ndjson.gz`
    written.push(key)
    const packed = await pack(objects, key, lines)
    if ((await hashOf(await getObject(objects, key))) === packed.sha256) return packed
    throw new ObjectDamaged({ key, place: objects.name, reason: 'it does not come back as it was written' })
  }
  const chunks = [...manifest.chunks]
  for (const [index, before] of found.chunks) {
    const chunk = manifest.chunks[index] as BackupManifest['chunks'][number]
    const records = (await readChunk(objects, chunk, before)).map((record) => {
      return streams.has(record.stream) && record.state !== 'tombstone' ? forgottenRecord(record) : record
    })
    const entries = entriesHash(records)
    if (entries !== chunk.entries) throw new TypeError('A forgotten record has another entry than it had')
    chunks[index] = { ...(await anew(chunk, records.map(lineOf))), entries }
  }
  const documents = found.documents
    ? await anew(
        manifest.documents,
        (await readPacked(objects, manifest.documents)).flatMap((line) => documentAfter(rewriting, line) ?? []),
      )
    : manifest.documents
  return { ...manifest, chunks, documents, rewritten: (manifest.rewritten ?? 0) + 1 }
}
