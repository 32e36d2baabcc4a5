/**
 * The ends of streams: what the storage says of each must be what its last event in the log says. Reads of a stream go by its
 * end, so that whoever moves it hides events that are there, or shows some that the log has not.
 */
import type { LogAudit } from './audit.ts'
import { isStoreError } from './errors.ts'
import type { Fault } from './finding.ts'
import { limits } from './limits.ts'
import { streamTypeOf } from './name.ts'
import { endOfLog } from './read-piece.ts'
import type { Storage, StreamHead } from './storage.ts'

type Read = Pick<Storage, 'listStreamTypes' | 'listStreams' | 'readStream' | 'readLog'>

/** Of the streams of a log that was audited up to and with `head`; others write meanwhile. */
export async function wrongEnds(
  storage: Read,
  log: LogAudit,
  { head, signal }: { readonly head: number; readonly signal: AbortSignal | undefined },
): Promise<readonly Fault[]> {
  const faults: Fault[] = []
  const left = new Set(log.ends.keys())
  for (const type of await storage.listStreamTypes()) {
    let cursor: string | undefined
    do {
      signal?.throwIfAborted()
      const page = await storage.listStreams({ type, limit: limits.pageRecords, ...(cursor && { cursor }) })
      for (const listed of page.streams) {
        left.delete(listed.stream)
        if (streamTypeOf(listed.stream) === type && isEnd(listed, log)) continue
        faults.push(...(await wrongEnd(storage, listed.stream, { log, head, listed })))
      }
      cursor = page.next
    } while (cursor !== undefined)
  }
  // A list may lag.
  for (const stream of left) faults.push(...(await wrongEnd(storage, stream, { log, head })))
  return faults
}

function isEnd({ stream, revision, position, time, closed }: StreamHead, { ends }: LogAudit): boolean {
  const end = ends.get(stream)
  const { last } = end ?? {}
  return last?.revision === revision && last.position === position && last.time === time && end?.closed === closed
}

interface Found {
  readonly log: LogAudit
  readonly head: number
  readonly listed?: StreamHead
}

/** Asks for the stream itself: it may have grown since the log was read. */
async function wrongEnd(storage: Read, stream: string, { log, head, listed }: Found): Promise<readonly Fault[]> {
  const last = log.ends.get(stream)?.last
  const found = await endOf(storage, stream)
  if (found && (isEnd(found, log) || (await hasGrown(storage, found, { log, head })))) return []
  const { revision = 0, position = 1 } = last ?? found ?? listed ?? {}
  // What it says to be behind the log was cut off.
  const beyond = ((found ?? listed)?.position ?? 0) > head
  const inside = Number.isSafeInteger(position) ? Math.min(Math.max(position, 1), head) : 1
  const place = { position: beyond ? head + 1 : inside, stream, revision }
  const says = found ? `ends at revision ${found.revision}${found.closed ? ', closed' : ''}` : 'cannot be read'
  return [
    { ...place, kind: 'stream', message: `By the storage the stream ${says}; by the log ${endText(log, stream)}` },
  ]
}

/** Undefined where the storage cannot say, although it is well. */
async function endOf(storage: Read, stream: string): Promise<StreamHead | undefined> {
  try {
    return (await storage.readStream(stream, { after: 0, direction: 'backwards', limit: 1 })).head
  } catch (error) {
    if (!isStoreError(error, 'storage-failed')) throw error
    await endOfLog(storage)
    return undefined
  }
}

async function hasGrown(
  storage: Read,
  { stream, revision, position, closed }: StreamHead,
  { log, head }: Pick<Found, 'log' | 'head'>,
): Promise<boolean> {
  if (revision <= (log.ends.get(stream)?.last.revision ?? 0)) return false
  // It has none yet, where positions come later.
  if (position === undefined) return true
  if (position <= head) return false
  const { records } = await storage.readLog({ after: position - 1, until: position, direction: 'forwards', limit: 1 })
  const [record] = records
  return record?.stream === stream && record.revision === revision && (record.state === 'tombstone') === closed
}

function endText({ ends }: LogAudit, stream: string): string {
  const end = ends.get(stream)
  return end ? `at revision ${end.last.revision}${end.closed ? ', closed' : ''}` : 'there is none'
}
