/**
 * A record of the log as a line of NDJSON, with what binds it into the ledger: what archive segments and backups are made
 * of. The content stands last, as the very text that was hashed, so that nothing is ever hashed after it was parsed.
 */
import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'
import { commitmentOf, entryOf, saltBytes } from './leaf.ts'
import { checkStream } from './name.ts'
import type { LogRecord } from './storage.ts'

/** Before the content; it cannot stand within a JSON text, where a quote has a backslash. */
const contentMark = ',"content":'

/** The record must have its evidence, and a position. */
export function lineOf(record: LogRecord): string {
  const { position, stream, revision, time, evidence = {} } = record
  const key = `{"position":${position},"stream":${JSON.stringify(stream)},"revision":${revision},"time":${time}`
  const hex = (name: 'salt' | 'commitment' | 'entry') => {
    const bytes = evidence[name]
    if (bytes === undefined) throw new TypeError(`Position ${position} was read without its ${name}`)
    return `,"${name}":"${bytesToHex(bytes)}"`
  }
  switch (record.state) {
    case 'stored':
      return `${key}${hex('salt')}${contentMark}${record.content}}`
    case 'tombstone':
      return `${key},"tombstone":true${hex('salt')}${contentMark}${record.content}}`
    case 'trimmed': {
      const { id, type, tags, segment } = record
      return `${key},"trimmed":${JSON.stringify({ id, type, tags, segment })}${hex('salt')}${hex('commitment')}}`
    }
    case 'forgotten':
      return `${key},"forgotten":true${hex('entry')}}`
  }
}

/** Where a line's event is, and its content as it was written, unless it has none; nothing of it is checked. */
export function placeAt(
  line: string,
): Pick<LogRecord, 'stream' | 'revision' | 'state'> & { readonly content?: string } {
  const { head, content } = split(line)
  const { stream, revision, forgotten, tombstone, trimmed } = JSON.parse(head) as Head
  const state = forgotten ? 'forgotten' : tombstone ? 'tombstone' : trimmed ? 'trimmed' : 'stored'
  return content === undefined ? { stream, revision, state } : { stream, revision, state, content }
}

function split(line: string): { readonly head: string; readonly content: string | undefined } {
  const at = line.indexOf(contentMark)
  if (at < 0) return { head: line, content: undefined }
  return { head: `${line.slice(0, at)}}`, content: line.slice(at + contentMark.length, -1) }
}

/** What is left of a record once it is forgotten. */
export function forgottenRecord(record: LogRecord): LogRecord {
  const { stream, revision, position, time } = record
  const key = position === undefined ? { stream, revision, time } : { stream, revision, position, time }
  return { ...key, state: 'forgotten', evidence: { entry: entryOfRecord(record) } }
}

interface Head {
  readonly position: number
  readonly stream: string
  readonly revision: number
  readonly time: number
  readonly salt?: string
  readonly commitment?: string
  readonly entry?: string
  readonly tombstone?: true
  readonly forgotten?: true
  readonly trimmed?: { readonly id: string; readonly type: string; readonly tags: readonly string[]; segment: string }
}

/** With its evidence; the commitment follows from salt and content. Throws for what `lineOf` has not written. */
export function recordOfLine(line: string): LogRecord & { readonly position: number } {
  const { head: text, content } = split(line)
  const head = JSON.parse(text) as Head
  const { position, stream, revision, time } = head
  checkStream(stream)
  for (const ordinal of [position, revision]) {
    if (!Number.isSafeInteger(ordinal) || ordinal < 1) throw new TypeError('a position or a revision is none')
  }
  if (!Number.isSafeInteger(time)) throw new TypeError('the time is none')
  const key = { position, stream, revision, time }
  if (head.forgotten) return { ...key, state: 'forgotten', evidence: { entry: bytesOf(head.entry) } }
  const salt = bytesOf(head.salt)
  if (head.trimmed) {
    const commitment = bytesOf(head.commitment)
    const evidence = { salt, commitment, entry: entryOf({ ...key, commitment }) }
    return { ...key, state: 'trimmed', ...head.trimmed, evidence }
  }
  if (content === undefined) throw new TypeError('the line has no content')
  JSON.parse(content)
  const evidence = { salt, commitment: commitmentOf(salt, content) }
  return { ...key, state: head.tombstone ? 'tombstone' : 'stored', content, evidence }
}

/** What the ledger holds of a record that was read with its evidence. */
export function entryOfRecord(record: LogRecord): Uint8Array {
  const { entry, commitment } = record.evidence ?? {}
  if (entry !== undefined) return entry
  if (commitment === undefined) throw new TypeError(`Position ${record.position} was read without its evidence`)
  return entryOf({ ...record, commitment })
}

function bytesOf(hex: string | undefined): Uint8Array {
  const bytes = hexToBytes(hex ?? '')
  if (bytes.length !== saltBytes) throw new TypeError('a hash or a salt has another length')
  return bytes
}
