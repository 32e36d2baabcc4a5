/**
 * The audit of a piece of the log: every record is held against what binds it and against those before it, and becomes a leaf.
 * Pieces are audited apart from each other, and joined in their order; nothing here asks a storage.
 */
import { parseContent } from './content.ts'
import { isEncrypted, shownIn } from './encrypted.ts'
import type { Block, Fault, FaultKind, PieceAudit, Place, Span, StateCounts } from './finding.ts'
import { derivedId } from './id.ts'
import { commitmentOf, entryOf, leafOf, saltBytes } from './leaf.ts'
import type { LogRecord, TrimmedEvent } from './storage.ts'
import { type Growth, growTree, hashIn, rootOfTile, tileWidth } from './tile.ts'
import { equalHashes, type Hash, hashBytes } from './tree.ts'

export interface Piece {
  /** Position of the record that is to come next. */
  readonly next: number
  /** False once something is wrong; then nothing more is taken. `archived`: what the archive has of a trimmed one. */
  add(record: LogRecord, archived?: string): boolean
  end(fault?: Fault): PieceAudit
}

/** Audits records from the one after `after` on, where a tile begins. */
export function auditPiece(after: number): Piece {
  const streams = new Map<string, Span>()
  const counts = { stored: 0, trimmed: 0, forgotten: 0, tombstone: 0 }
  const blocks: Block[] = []
  let leaves = new Uint8Array(tileWidth * hashBytes)
  let count = 0
  let next = after + 1
  let unread = 0
  let encrypted = 0
  let fault: Fault | undefined

  function check(record: LogRecord, archived: string | undefined): Fault | undefined {
    const { position } = record
    if (position !== next) {
      const found = position === undefined ? 'one without a position' : `the one of position ${position}`
      return { position: next, kind: 'missing', message: `The log has no record there; the next one is ${found}` }
    }
    const entry = checkEvidence(record, archived)
    if (!(entry instanceof Uint8Array)) return faultAt({ ...record, position }, entry.kind, entry.message)
    const place = { stream: record.stream, revision: record.revision, time: record.time, position }
    const span = streams.get(record.stream)
    const wrong = span && checkOrder(span.last, span.closed, place)
    if (wrong) return wrong
    const closed = record.state === 'tombstone'
    if (span === undefined) streams.set(record.stream, { first: place, last: place, closed })
    else {
      span.last = place
      span.closed = closed
    }
    if (record.state === 'forgotten') {
      const known = streams.get(record.stream)
      if (known) known.forgotten ??= place
    }
    leaves.set(leafOf(entry), count * hashBytes)
    return undefined
  }

  return {
    get next() {
      return next
    },
    add(record, archived) {
      fault ??= check(record, archived)
      if (fault) return false
      const content = contentIn(record, archived)
      if (content !== undefined && isEncrypted(content) && record.evidence?.plain === undefined) encrypted++
      if (content === undefined && record.state === 'trimmed') unread++
      counts[record.state]++
      next++
      count++
      if (count === tileWidth) {
        blocks.push({ leaves, root: rootOfTile(leaves) })
        leaves = new Uint8Array(tileWidth * hashBytes)
        count = 0
      }
      return true
    },
    end(other) {
      const all = count === 0 ? blocks : [...blocks, { leaves: leaves.subarray(0, count * hashBytes) }]
      return { after, until: next - 1, blocks: all, streams, counts, unread, encrypted, fault: fault ?? other }
    },
  }
}

function faultAt({ position, stream, revision }: Place, kind: FaultKind, message: string): Fault {
  return { position, stream, revision, kind, message }
}

/** The record's entry; else what keeps it from being one. */
function checkEvidence(record: LogRecord, archived: string | undefined): Uint8Array | Pick<Fault, 'kind' | 'message'> {
  const { stream, revision, time, evidence: { salt, commitment, entry, plain } = {} } = record
  const lacks = (what: string) => ({ kind: 'evidence', message: `The record lacks its ${what}` }) as const
  if (record.state === 'forgotten') return entry?.length === hashBytes ? entry : lacks('entry')
  if (commitment?.length !== hashBytes) return lacks('commitment')
  const made = entryOf({ stream, revision, time, commitment })
  if (entry && !equalHashes(entry, made)) {
    return { kind: 'entry', message: 'The entry that is stored is not that of stream, revision, time and commitment' }
  }
  if (record.state === 'trimmed' && !(typeof record.segment === 'string' && Array.isArray(record.tags)))
    return lacks('archive segment')
  const content = contentIn(record, archived)
  if (content === undefined) return made
  // Of another length it could have taken something of the content, and the commitment would fit all the same.
  if (salt?.length !== saltBytes) return lacks('salt')
  if (!equalHashes(commitment, commitmentOf(salt, content))) {
    return { kind: 'content', message: 'The content is not what was recorded: its commitment does not fit' }
  }
  if (record.state === 'trimmed' && !keepsTheKeysOf(record, content)) {
    return { kind: 'content', message: 'The record has another id, type or tag than its content in the archive' }
  }
  // Without a key it is told by what is stored alone that it is as it was.
  if (plain && (plain === 'damaged' || !equalHashes(salt, commitmentOf(plain.salt, plain.content)))) {
    return { kind: 'content', message: "What is encrypted cannot be had: its subject's key is not as it was" }
  }
  if (record.state === 'tombstone' && parseContent(record.content).id !== derivedId(['tombstone', stream])) {
    return { kind: 'tombstone', message: 'An event stands as a tombstone that was not recorded as one' }
  }
  return made
}

function contentIn(record: LogRecord, archived: string | undefined): string | undefined {
  if (record.state === 'forgotten') return undefined
  return record.state === 'trimmed' ? archived : record.content
}

/** What stays of a record in the storage when its content goes. */
function keepsTheKeysOf({ id, type, tags }: TrimmedEvent, content: string): boolean {
  const whole = parseContent(shownIn(content))
  return id === whole.id && type === whole.type && tags.join('\n') === whole.tags.join('\n')
}

function checkOrder(last: Place, closed: boolean, place: Place): Fault | undefined {
  if (closed) return faultAt(place, 'closed', `It stands behind the tombstone of "${place.stream}"`)
  if (place.revision !== last.revision + 1) {
    return faultAt(place, 'revision', `It follows upon revision ${last.revision} of its stream`)
  }
  if (place.time < last.time) return faultAt(place, 'time', 'It was recorded before the event before it in its stream')
  return undefined
}

export interface LogAudit {
  readonly counts: StateCounts
  readonly unread: number
  readonly encrypted: number
  /** Of each stream its last event, and whether that is its tombstone. */
  readonly ends: ReadonlyMap<string, { readonly last: Place; readonly closed: boolean }>
  readonly tree: Growth
  /** Of the log up to a size that was asked for, once it is that long: the tree's root, and its edge. */
  rootAt(size: number): Hash | undefined
  edge(): readonly Uint8Array[] | undefined
  /** Takes the next piece; the first fault of it, or of how it follows upon those before. */
  join(piece: PieceAudit): Fault | undefined
  /** Forgotten records whose stream had no tombstone so far. */
  unclosed(): readonly Fault[]
}

/** Joins pieces to a whole. `wanted` are the sizes whose roots are asked for, `edgeSize` the one whose edge is. */
export function auditLog(wanted: readonly number[], edgeSize = 0): LogAudit {
  const sizes = [...new Set([...wanted, edgeSize])].sort((left, right) => left - right)
  let reached = 0
  let unread = 0
  const tree = growTree({ size: 0, edge: [] })
  const counts = { stored: 0, trimmed: 0, forgotten: 0, tombstone: 0 }
  const streams = new Map<string, { last: Place; closed: boolean; forgotten?: Place | undefined }>()
  const roots = new Map<number, Hash>()
  let edge: readonly Uint8Array[] | undefined
  let encrypted = 0
  const mark = () => {
    if (sizes[reached] !== tree.size) return
    roots.set(tree.size, tree.root())
    if (tree.size === edgeSize) edge = tree.edge()
    reached++
  }
  mark()

  function follow(span: Span): Fault | undefined {
    const { stream } = span.first
    const before = streams.get(stream)
    const start = { ...span.first, revision: 0, time: Number.NEGATIVE_INFINITY }
    const wrong = checkOrder(before?.last ?? start, before?.closed ?? false, span.first)
    streams.set(stream, { last: span.last, closed: span.closed, forgotten: before?.forgotten ?? span.forgotten })
    return wrong
  }

  return {
    tree,
    counts,
    get unread() {
      return unread
    },
    ends: streams,
    get encrypted() {
      return encrypted
    },
    rootAt: (size) => roots.get(size),
    edge: () => edge,
    join({ blocks, streams: spans, counts: more, unread: others, encrypted: byCommitment, fault }) {
      unread += others
      encrypted += byCommitment
      for (const { leaves, root } of blocks) {
        const end = tree.size + leaves.length / hashBytes
        if (root && (sizes[reached] ?? end) >= end) tree.addTile(root)
        else {
          for (let at = 0; at < leaves.length / hashBytes; at++) {
            tree.add(hashIn(leaves, at))
            mark()
          }
        }
        mark()
      }
      for (const state of ['stored', 'trimmed', 'forgotten', 'tombstone'] as const) counts[state] += more[state]
      return firstOf([fault, ...[...spans.values()].map(follow)])
    },
    unclosed: () =>
      [...streams.values()].flatMap(({ closed, forgotten }) => {
        if (closed || forgotten === undefined) return []
        return [faultAt(forgotten, 'tombstone', 'It was emptied as if forgotten, and its stream has no tombstone')]
      }),
  }
}

/** The one at the lowest position; of several there, the one that stands first. */
export function firstOf(faults: readonly (Fault | undefined)[]): Fault | undefined {
  let first: Fault | undefined
  for (const fault of faults) if (fault && (first === undefined || fault.position < first.position)) first = fault
  return first
}
