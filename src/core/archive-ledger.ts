/**
 * Where the log has a ledger, nothing is emptied but what its newest signed digest covers, and a segment is held against that
 * digest: the tiles must give its root, and each of the segment's events must be the leaf that the tiles have of it.
 */
import { rootOf } from './digest.ts'
import { leafOf } from './leaf.ts'
import { LedgerBroken } from './ledger-errors.ts'
import { hashReader, readState } from './ledger-state.ts'
import { entryOfRecord } from './record-line.ts'
import type { LogRecord, Storage } from './storage.ts'
import { tileWidth } from './tile.ts'
import { equalHashes } from './tree.ts'

/** Up to which position the log may be emptied; all of it where nothing was ever signed. */
export async function sealedUpTo(storage: Pick<Storage, 'getDocuments'>): Promise<number> {
  return (await readState(storage)).digest?.size ?? Number.POSITIVE_INFINITY
}

/** The first record that is not what was sealed. Throws `LedgerBroken` where the tiles are not those of the digest. */
export async function unlikeDigest(
  storage: Pick<Storage, 'getDocuments'>,
  records: readonly LogRecord[],
): Promise<LogRecord | undefined> {
  const state = await readState(storage)
  const { digest } = state
  if (digest === undefined) return undefined
  const read = hashReader(storage, state)
  const [root] = digest.size === 0 ? [rootOf(digest)] : await read([{ from: 0, to: digest.size }])
  if (root === undefined || !equalHashes(root, rootOf(digest))) {
    throw new LedgerBroken('its tiles', `they do not give the digest that was signed at ${digest.size} events`)
  }
  const covered = records.filter(({ position = 0 }) => position <= digest.size)
  for (let at = 0; at < covered.length; at += tileWidth) {
    const some = covered.slice(at, at + tileWidth)
    const leaves = await read(some.map(({ position = 0 }) => ({ from: position - 1, to: position })))
    const wrong = some.find(
      (record, index) => !equalHashes(leafOf(entryOfRecord(record)), leaves[index] ?? rootOf(digest)),
    )
    if (wrong) return wrong
  }
  return undefined
}
