/** Labels: views as they once were lie under one, beside those in use, and are read as the view `name~label`. */
import { errorOf } from './append.ts'
import type { Background } from './background.ts'
import { putDocument, uniqueCollection } from './document.ts'
import { eraseCollections } from './erase-views.ts'
import { InvalidArgument, LimitExceeded } from './errors.ts'
import { limits } from './limits.ts'
import { checkName } from './name.ts'
import type { Shape } from './projection.ts'
import { ProjectionMissing, ProjectionNotFound, ViewNotReady } from './projection-errors.ts'
import { projectionStates } from './projection-state.ts'
import type { CollectionSpec, Storage } from './storage.ts'
import { backoffMs, sleep } from './turn.ts'

/** What lies under a label. */
export interface Replayed {
  readonly name: string
  readonly label: string
  readonly version: number
  /** The one view; absent where it is all of them. */
  readonly id?: string
  /** A revision, or an instant as text. */
  readonly at?: number | string
  readonly from?: number | string
  readonly state: 'building' | 'done'
  readonly views: number
}

const labelPattern = /^[A-Za-z0-9][A-Za-z0-9._-]*$/

export function checkLabel(label: string): void {
  checkName(label, 'as', 'label', limits.replayLabelCharacters)
  if (!labelPattern.test(label)) {
    throw new InvalidArgument('as', 'a label must be of A-Z a-z 0-9 . _ - and begin with a letter or digit')
  }
}

/** The shape of what lies under the label: its views are kept apart, and no commit and no runner keeps them. */
export function underLabel(shape: Shape, label: string): Shape {
  const collection = `${shape.views.collection}~~${label}`
  return { ...shape, label, lifecycle: 'async', views: { ...shape.views, collection } }
}

/** Throws `ProjectionNotFound`, `ViewNotReady`, or `ProjectionMissing` for `name~label`. */
export async function labelledShape(
  { storage, shapes }: { readonly storage: Pick<Storage, 'getDocuments'>; readonly shapes: readonly Shape[] },
  labelled: string,
): Promise<Shape> {
  const [name = '', label = ''] = labelled.split('~')
  const replayed = (await readReplays(storage, name)).replays.find((one) => one.label === label)
  if (replayed === undefined) {
    throw new ProjectionNotFound({ projection: labelled, known: [...new Set(shapes.map((shape) => shape.name))] })
  }
  const { version, state } = replayed
  if (state !== 'done') throw new ViewNotReady({ projection: labelled, version })
  return underLabel(definedShape(shapes, replayed), label)
}

export function definedShape(shapes: readonly Shape[], { name, version }: Pick<Replayed, 'name' | 'version'>): Shape {
  const shape = shapes.find((one) => one.name === name && one.version === version)
  if (shape === undefined) throw new ProjectionMissing({ projection: name, version })
  return shape
}

/** Of a projection, with the version of the document that says so. */
interface StoredReplays {
  readonly replays: readonly Replayed[]
  readonly version?: string
}

/** Strongly consistent. */
export async function readReplays(storage: Pick<Storage, 'getDocuments'>, name: string): Promise<StoredReplays> {
  const key = replaysKey(name)
  const [document] = await storage.getDocuments([{ collection: projectionStates.collection, key }])
  if (document === undefined) return { replays: [] }
  return { replays: (JSON.parse(document.body) as { replays: Replayed[] }).replays, version: document.version }
}

/** `change` may be called again. */
export async function changeReplays(
  { storage, queue, making }: Pick<Background, 'storage' | 'queue' | 'making'>,
  name: string,
  change: (replays: readonly Replayed[]) => readonly Replayed[],
): Promise<void> {
  for (let tries = 1; ; tries++) {
    const known = await readReplays(storage, name)
    const replays = change(known.replays)
    if (replays.length > limits.replayLabels) {
      const facts = { limit: 'replayLabels', allowed: limits.replayLabels, actual: replays.length }
      throw new LimitExceeded(facts, `projection "${name}": drop some, or take a label again`)
    }
    const guard =
      known.version === undefined ? ({ is: 'absent' } as const) : ({ is: 'version', version: known.version } as const)
    const documents = putDocument(projectionStates, { key: replaysKey(name), body: { replays }, if: guard })
    const outcome = await queue.add({ id: making.newId(), appends: [], documents })
    if (outcome.outcome === 'committed') return
    if (outcome.outcome !== 'document-conflict' || tries >= limits.foldTries) throw errorOf(outcome)
    await sleep(backoffMs(tries, limits.foldBackoffMs, limits.foldBackoffMsMax))
  }
}

function replaysKey(name: string): string {
  return `replays/${name}`
}

export async function eraseLabelled(
  storage: Pick<Storage, 'erase'>,
  views: CollectionSpec,
  signal?: AbortSignal,
): Promise<void> {
  const unique = views.indexes.filter((index) => index.unique).map((index) => uniqueCollection(views, index.name))
  await eraseCollections(storage, [views.collection, ...unique], signal)
}
