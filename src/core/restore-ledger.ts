/**
 * The ledger of a log that is restored. A backup has its last state, with the digest that was signed; the tree is grown again
 * from the events, first to hold it against that digest, and then to write its tiles.
 */
import { errorOf } from './append.ts'
import { rootOf } from './digest.ts'
import { canonicalJson } from './encoding.ts'
import { newId, secureRandom } from './id.ts'
import { leafOf } from './leaf.ts'
import { LedgerBroken } from './ledger-errors.ts'
import { type LedgerState, ledgers, parseState, putState, putTile, readState, tiles } from './ledger-state.ts'
import { limits } from './limits.ts'
import { entryOfRecord } from './record-line.ts'
import type { DocumentWrite, LogRecord, Storage } from './storage.ts'
import { growTree, tileWidth } from './tile.ts'
import { equalHashes } from './tree.ts'

export interface LedgerCheck {
  /** All records of the log, one after the other. */
  add(record: LogRecord): void
  /** Why the digest is not that of these events; undefined where it is. */
  fault(): string | undefined
}

/** Throws `LedgerBroken` for a body that sealing has not written. */
export function stateOfBody(body: object): LedgerState {
  const { version: _, ...state } = parseState({ body: canonicalJson(body), version: '' })
  return state
}

export function checkingLedger(state: LedgerState): LedgerCheck {
  const tree = growTree({ size: 0, edge: [] })
  const { size, edge, digest } = state
  let wrong: string | undefined
  return {
    add(record) {
      if (tree.size >= size) return
      tree.add(leafOf(entryOfRecord(record)))
      // Nothing is written yet.
      tree.take()
      if (digest?.size === tree.size && !equalHashes(tree.root(), rootOf(digest))) {
        wrong = `the digest that was signed at ${digest.size} events is not that of the events`
      }
      if (tree.size === size && tree.edge().some((hashes, level) => !isSame(hashes, edge[level]))) {
        wrong ??= `the ledger's tree of ${size} events is not that of the events`
      }
    },
    fault: () => wrong ?? (tree.size < size ? `the ledger has ${size} events, the log ${tree.size}` : undefined),
  }
}

/** From the log that is restored; what an earlier try has written is the same. */
export async function restoreLedger(into: Storage, state: LedgerState, signal?: AbortSignal): Promise<void> {
  await into.declare([tiles, ledgers])
  if ((await readState(into)).size === state.size) return
  const random = secureRandom()
  const tree = growTree({ size: 0, edge: [] })
  const commit = async (documents: readonly DocumentWrite[]) => {
    if (documents.length === 0) return
    const [outcome] = await into.commit([{ id: newId(random), appends: [], documents }])
    if (outcome && outcome.outcome !== 'committed') throw errorOf(outcome)
  }
  while (tree.size < state.size) {
    signal?.throwIfAborted()
    const until = Math.min(state.size, tree.size + limits.sealTiles * tileWidth)
    const range = { after: tree.size, until, direction: 'forwards', limit: limits.pageRecords, evidence: true } as const
    const { records } = await into.readLog(range)
    if (records.length === 0) throw new LedgerBroken(`position ${tree.size + 1}`, 'the log lacks the event there')
    for (const record of records) tree.add(leafOf(entryOfRecord(record)))
    await commit(tree.take().flatMap(putTile))
  }
  await commit(putState(state, { size: 0, edge: [] }))
}

function isSame(left: Uint8Array, right: Uint8Array = new Uint8Array()): boolean {
  return left.length === right.length && equalHashes(left, right)
}
