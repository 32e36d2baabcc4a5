/**
 * What was made of a stream that reads otherwise by now, because a subject of its events was forgotten. Views are folded anew,
 * whoever keeps them; snapshots, and what lies under labels, are dropped; errors that may quote it leave the parked lists. What
 * is not defined here is told. Every step can be repeated.
 */
import type { Background } from './background.ts'
import { overtakeRunners } from './checkpoint.ts'
import { commitDocuments, offerDocuments } from './commit-documents.ts'
import { consumerBodyOf, consumers, parkedFor } from './consumer.ts'
import { allIndexed, deleteDocument } from './document.ts'
import { isStorageFault } from './errors.ts'
import { type LinkBody, loadViews, viewWrites } from './fold.ts'
import { readReplays, underLabel } from './label.ts'
import { limits } from './limits.ts'
import { parkedKey, parkedOf, putParked, quieted } from './parked.ts'
import { allParked } from './parked-view.ts'
import { linksIn, type Shape } from './projection.ts'
import { isOf, type KnownStates, listStates, stateWrites, type VersionStatus } from './projection-state.ts'
import { emptied as emptiedView, foldViewsAnew } from './refold.ts'
import { refoldView } from './replay-parked.ts'
import type { Snapshots } from './snapshots.ts'
import type { ForgottenInStates } from './state-forgetting.ts'
import type { TableShape } from './tables.ts'

export interface Renewing {
  readonly background: Background
  readonly shapes: readonly Shape[]
  readonly states: KnownStates
  readonly tables: readonly Pick<TableShape, 'name' | 'streamTypes'>[]
  readonly snapshots: Pick<Snapshots, 'list' | 'drop'>
  readonly forgetInStates: (forgotten: ForgottenInStates) => Promise<void>
}

export interface Renewed {
  /** Versions, `name@version`, that hold it still, for they are not defined here. */
  readonly missing: readonly string[]
  /** Versions whose handlers fail at what is read by now: what they made is empty. */
  readonly emptied: readonly string[]
  /** Tables of the user's own that were made of the stream, by name. */
  readonly tables: readonly string[]
  /** What was deleted, by what it was. */
  readonly kinds: Readonly<Record<string, number>>
}

/** Whoever has read before this, by a key that was there then, writes nothing inline of it any more. */
export async function fenceViews({ background }: Renewing): Promise<void> {
  for (const known of await listStates(background.storage)) {
    const holds = ({ facts }: VersionStatus) => facts.lifecycle === 'inline' && facts.holds === 'content'
    if (!known.state.versions.some(holds)) continue
    const documents = stateWrites(known.state, known)
    // Who has changed it meanwhile has done the same.
    await offerDocuments(background, documents)
  }
}

/** Versions, `name@version`, that are not defined here. */
export async function versionsElsewhere({ background, shapes }: Renewing): Promise<ReadonlySet<string>> {
  const all = (await listStates(background.storage)).flatMap(({ state: { name, versions } }) =>
    versions.map(({ version }) => `${name}@${version}`),
  )
  const here = new Set(shapes.map(({ name, version }) => `${name}@${version}`))
  return new Set(all.filter((id) => !here.has(id)))
}

export async function renewed(renewing: Renewing, stream: string): Promise<Renewed> {
  const { background, shapes, snapshots, tables } = renewing
  const missing: string[] = []
  const emptied: string[] = []
  const kinds: Record<string, number> = {}
  const told = (kind: string, count: number) => {
    if (count > 0) kinds[kind] = (kinds[kind] ?? 0) + count
  }
  await overtakeRunners(background, stream)
  for (const { state } of await listStates(background.storage)) {
    for (const status of state.versions) {
      if (status.facts.holds !== 'content' || !isOf(status.facts, stream)) continue
      const of = { name: state.name, ...status }
      const shape = shapes.find(({ name, version }) => name === of.name && version === of.version)
      const id = `${of.name}@${of.version}`
      if (shape === undefined) {
        if ((await keysHolding(background, of, stream)).size > 0) missing.push(id)
        continue
      }
      if (!(await renewViews(renewing, of, { stream, shape }))) emptied.push(id)
      told('views', await dropLabelled(background, shape, stream))
    }
  }
  told('snapshots', await dropSnapshots(snapshots, stream))
  await quieten(background, stream)
  await renewing.forgetInStates({ stream, how: 'masked' })
  return { missing, emptied, kinds, tables: tables.filter((one) => isOf(one, stream)).map(({ name }) => name) }
}

type Version = VersionStatus & { readonly name: string }

/** False where handlers fail at what is read by now. */
async function renewViews(
  { background, states, shapes }: Renewing,
  of: Version,
  { stream, shape }: { readonly stream: string; readonly shape: Shape },
): Promise<boolean> {
  if (shape.lifecycle === 'inline') return foldViewsAnew({ ...background, shapes, states }, shape, stream)
  let whole = true
  for (const key of await keysHolding(background, of, stream)) {
    if (!(await refoldOrEmpty(background, shape, key))) whole = false
  }
  return whole
}

/** A view behind the log. False where it is empty, or parked: handlers fail, or its key cannot be told of what is masked. */
export async function refoldOrEmpty(background: Background, shape: Shape, key: string): Promise<boolean> {
  try {
    return (await refoldView(background, shape, key)).done
  } catch (error) {
    if (isStorageFault(error)) throw error
    const [stored] = await loadViews(background.storage, shape, [key])
    if (stored?.stored === undefined) return false
    const documents = viewWrites(shape, emptiedView(stored))
    await commitDocuments(background, documents)
    return false
  }
}

/** Of views that hold content of the stream, and of those that are parked at an event of it. */
async function keysHolding(
  { storage }: Pick<Background, 'storage'>,
  { name, version, facts }: Version,
  stream: string,
): Promise<ReadonlySet<string>> {
  const keys = new Set<string>()
  if (facts.keyed === 'by-stream') {
    const key = stream.slice(stream.indexOf('/') + 1)
    const [document] = await storage.getDocuments([{ collection: `${name}@${version}`, key }])
    if (document) keys.add(key)
  } else {
    const query = { index: 'stream', equals: [stream] }
    for await (const { body } of allIndexed(storage, linksIn({ name, version }), query)) {
      keys.add((JSON.parse(body) as LinkBody).key)
    }
  }
  for (const { parked } of await allParked(storage, { name, version }))
    if (parked.stream === stream) keys.add(parked.key)
  return keys
}

/** What lies under labels is as it was once, and cannot be made again. */
async function dropLabelled(background: Background, shape: Shape, stream: string): Promise<number> {
  const { storage } = background
  const { replays } = await readReplays(storage, shape.name)
  const labels = replays.filter(({ version }) => version === shape.version).map(({ label }) => label)
  if (labels.length === 0) return 0
  const keys = await keysHolding(background, { ...shape, state: 'active' }, stream)
  let dropped = 0
  for (const label of labels) {
    const beside = underLabel(shape, label)
    for (const { key, body, stored } of await loadViews(storage, beside, [...keys])) {
      if (stored === undefined || body.revisions?.[stream] === undefined) continue
      const guard = { is: 'version', version: stored.version } as const
      const documents = deleteDocument(beside.views, { key, previous: body, if: guard })
      await commitDocuments(background, documents)
      dropped++
    }
  }
  return dropped
}

/** All of a stream, by whichever decider. */
async function dropSnapshots({ list, drop }: Pick<Snapshots, 'list' | 'drop'>, stream: string): Promise<number> {
  let dropped = 0
  let cursor: string | undefined
  do {
    const page = await list({ stream, limit: limits.pageRecords, ...(cursor !== undefined && { cursor }) })
    for (const { decider, version } of page.snapshots) dropped += (await drop({ decider, version, stream })).dropped
    cursor = page.next
  } while (cursor !== undefined)
  return dropped
}

/** The stream stays parked where it is, for its events are still to be handled; what was thrown is not kept. */
async function quieten(background: Background, stream: string): Promise<void> {
  const { storage } = background
  for await (const document of allIndexed(storage, consumers, { index: 'name', equals: ['consumer'] })) {
    const of = parkedFor(consumerBodyOf(document))
    const [found] = await storage.getDocuments([parkedKey(of, stream)])
    if (found === undefined) continue
    const documents = putParked(of, quieted(parkedOf(found)), { is: 'version', version: found.version })
    // Who has changed it meanwhile has read the stream as it is now, or takes it off the list.
    await offerDocuments(background, documents)
  }
}
