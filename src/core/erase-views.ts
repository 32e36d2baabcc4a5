/** Erasing all that was made for a version: views, their unique values, links, parked entities. In bounded steps that can be repeated. */
import type { VersionName } from './checkpoint.ts'
import { uniqueCollection } from './document.ts'
import { parkedViews } from './parked-view.ts'
import type { ShapeFacts } from './projection.ts'
import type { Storage } from './storage.ts'

/** Rejects once the signal aborts, for then somebody else may have begun to fill them again. */
export async function eraseViews(
  storage: Pick<Storage, 'erase'>,
  { name, version, facts }: VersionName & { readonly facts: Pick<ShapeFacts, 'indexes'> },
  signal?: AbortSignal,
): Promise<void> {
  const collection = `${name}@${version}`
  const unique = facts.indexes.filter((index) => index.unique)
  const all = [
    collection,
    ...unique.map((index) => uniqueCollection({ collection, indexes: [] }, index.name)),
    `${collection}~links`,
    parkedViews({ name, version }).collection,
  ]
  await eraseCollections(storage, all, signal)
}

export async function eraseCollections(
  storage: Pick<Storage, 'erase'>,
  collections: readonly string[],
  signal?: AbortSignal,
): Promise<void> {
  for (const collection of collections) {
    for (let cursor: string | undefined, done = false; !done; ) {
      signal?.throwIfAborted()
      const step = await storage.erase({ erase: 'collection', collection, cursor })
      cursor = step.cursor
      done = step.done
    }
  }
}
