/** Verifying an export without its store: nothing is needed but its bytes, and a key or a digest that was kept. */
import { hexToBytes } from '@noble/hashes/utils.js'
import { keptDigest, openDigest, readDigest, type SignedDigest } from './digest.ts'
import { InvalidArgument, isStoreError } from './errors.ts'
import { type ExportHead, exportFormat, exportLine } from './export.ts'
import type { Fault } from './finding.ts'
import { limits } from './limits.ts'
import { recordOfLine } from './record-line.ts'
import type { LogRecord } from './storage.ts'
import { keptIn, listOf } from './verify.ts'
import { auditRecords, type RecordsReport, type VerifyRecordsOptions } from './verify-records.ts'

export interface VerifyExportOptions extends VerifyRecordsOptions {
  readonly onProgress?: (progress: { readonly position: number; readonly head: number }) => void
  readonly signal?: AbortSignal
}

export interface ExportReport extends RecordsReport {
  readonly logId: string
  readonly head: number
  /** The newest digest when it was exported. */
  readonly digest?: SignedDigest
  /** Whether the digest's signature was checked: that takes a key. */
  readonly signed: boolean
}

/**
 * Reads the bytes of `exportLog`'s lines once, whatever their number. Throws `InvalidArgument` for what is no export, and for
 * a checkpoint that proves nothing `InvalidArgument` or `ProofInvalid`; whatever is wrong inside is in the report.
 */
export async function verifyExport(
  bytes: AsyncIterable<Uint8Array> | ReadableStream<Uint8Array>,
  { checkpoint, verifierKeys = [], onProgress, signal }: VerifyExportOptions = {},
): Promise<ExportReport> {
  const kept = listOf(checkpoint).map((each) => keptDigest(each, verifierKeys))
  const lines = linesOf(bytes)
  try {
    const { logId, head, ...first } = parseHead((await lines.next()).value)
    const { digest, fault: digestFault } = digestOf(first.checkpoint, verifierKeys)
    if (digest && digest.size > head) throw new InvalidArgument('export', 'has a digest of more events than it holds')
    const records = recordsOf(lines, head, (position) => {
      signal?.throwIfAborted()
      if (position % progressRecords === 0 || position === head) onProgress?.({ position, head })
    })
    const report = await auditRecords(records, digest ? [...kept, digest] : kept)
    const fault = report.fault ?? digestFault
    return {
      ...{ ...report, logId, head, signed: digest !== undefined && verifierKeys.length > 0 },
      ...(fault && { fault, verified: fault.position - 1 }),
      ...keptIn(kept),
      ...(digest && { digest }),
    }
  } finally {
    await lines.return(undefined)
  }
}

const progressRecords = 1_000
const longestLine = 2 * limits.eventBytes

function parseHead(line: string | undefined): ExportHead {
  try {
    const head = JSON.parse(line ?? '') as ExportHead
    if (head?.format === exportFormat && Number.isSafeInteger(head.head) && head.head >= 0) return head
  } catch {}
  throw new InvalidArgument('export', `must begin with a line of format "${exportFormat}": export with the evidence`)
}

/** The digest that the export brings is a part of what is verified. */
function digestOf(
  checkpoint: string | undefined,
  keys: readonly string[],
): { readonly digest?: SignedDigest; readonly fault?: Fault } {
  if (checkpoint === undefined) return {}
  try {
    const digest = readDigest(checkpoint)
    if (keys.length > 0) openDigest(checkpoint, keys)
    return { digest }
  } catch (error) {
    if (!isStoreError(error)) throw error
    return { fault: { position: 1, kind: 'signature', message: error.message } }
  }
}

/** Up to what cannot be read, which ends them. */
async function* recordsOf(
  lines: AsyncIterable<string>,
  head: number,
  told: (position: number) => void,
): AsyncGenerator<LogRecord | Fault> {
  let position = 0
  for await (const line of lines) {
    position++
    const record = position > head ? undefined : recordIn(line)
    if (record === undefined) {
      const message = position > head ? `The export says that it ends at ${head}` : 'The line is no record of a log'
      yield { position, kind: 'unreadable', message }
      return
    }
    yield record
    told(position)
  }
  if (position < head)
    yield { position: position + 1, until: head, kind: 'truncated', message: 'The export is cut off' }
}

/** Only what was written exactly so: what else stands in a line nothing would prove. */
function recordIn(line: string): LogRecord | undefined {
  try {
    const [, entry, rest] = /^\{"entry":"([0-9a-f]{64})",(.*)$/s.exec(line) ?? []
    const record = recordOfLine(rest === undefined ? line : `{${rest}`)
    const exported = entry === undefined ? record : withEntry(record, hexToBytes(entry))
    const { entry: _, ...evidence } = exported.evidence ?? {}
    // Its own entry is what follows from it; that it is the one that stands there is for the audit to say.
    const printed = exportLine(record.state === 'forgotten' ? record : { ...record, evidence })
    return tailOf(printed) === tailOf(line) ? exported : undefined
  } catch {
    return undefined
  }
}

function withEntry(record: LogRecord, entry: Uint8Array): LogRecord {
  return { ...record, evidence: { ...record.evidence, entry } }
}

function tailOf(line: string): string {
  return line.replace(/^\{"entry":"[0-9a-f]{64}",/, '{')
}

/** Browsers cannot all iterate a stream. */
async function* linesOf(
  bytes: AsyncIterable<Uint8Array> | ReadableStream<Uint8Array>,
): AsyncGenerator<string, undefined> {
  // What is no UTF-8 becomes another text, whose record is then another one, too.
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
  let rest = ''
  for await (const chunk of 'getReader' in bytes ? chunksOf(bytes) : bytes) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n')
    rest = lines.pop() ?? ''
    yield* lines
    // No record is that long: it is told as one that cannot be read, and not collected for ever.
    if (rest.length > longestLine) {
      yield rest
      return
    }
  }
  rest += decoder.decode()
  if (rest !== '') yield rest
}

async function* chunksOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  const reader = stream.getReader()
  try {
    for (let part = await reader.read(); !part.done; part = await reader.read()) yield part.value
  } finally {
    await reader.cancel().catch(() => {})
  }
}
