/**
 * An export that can be verified: the log as lines, each with what binds it into the ledger, behind one line with the newest
 * signed digest. Whoever has the verifier key, or has kept a digest, needs nothing else to know that it is the log.
 */
import { bytesToHex } from '@noble/hashes/utils.js'
import { LedgerBroken } from './ledger-errors.ts'
import { readState } from './ledger-state.ts'
import { limits } from './limits.ts'
import { entryOfRecord } from './proof.ts'
import { lineOf } from './record-line.ts'
import type { LogRecord, Storage } from './storage.ts'

export const exportFormat = 'daybook/export/1'

/** The first line. */
export interface ExportHead {
  readonly format: typeof exportFormat
  readonly logId: string
  /** Position of the last record. */
  readonly head: number
  /** The newest digest, as a signed note; absent where nothing was sealed. */
  readonly checkpoint?: string
}

export interface ExportOptions {
  readonly onProgress?: (progress: { readonly position: number; readonly head: number }) => void
  readonly signal?: AbortSignal
}

/** The lines, without line feeds, of all that the log holds when it begins. What is archived is there without its content. */
export async function* exportLog(
  storage: Pick<Storage, 'readLog' | 'getDocuments'>,
  { onProgress, signal }: ExportOptions = {},
): AsyncGenerator<string> {
  const { digest } = await readState(storage)
  const { logId, head } = await storage.readLog({ after: 0, direction: 'backwards', limit: 1 })
  const first: ExportHead = { format: exportFormat, logId, head, ...(digest && { checkpoint: digest.checkpoint }) }
  yield JSON.stringify(first)
  for (let after = 0; after < head; ) {
    signal?.throwIfAborted()
    const page = await storage.readLog({
      ...{ after, until: head, direction: 'forwards', limit: limits.pageRecords, evidence: true },
    })
    for (const record of page.records) {
      if (record.position !== after + 1) throw new LedgerBroken(`position ${after + 1}`, 'the log has no record there')
      yield exportLine(record)
      after++
    }
    if (page.records.length === 0) throw new LedgerBroken(`position ${after + 1}`, 'the log has no record there')
    onProgress?.({ position: after, head })
  }
}

/** The entry stands first, so that a record that was changed is known by itself, whatever else is changed with it. */
export function exportLine(record: LogRecord): string {
  const line = lineOf(record)
  if (record.state === 'forgotten') return line
  const entry = entryOfRecord(record)
  if (entry === undefined) throw new LedgerBroken(`position ${record.position}`, 'the log lacks what proves the event')
  return `{"entry":"${bytesToHex(entry)}",${line.slice(1)}`
}
