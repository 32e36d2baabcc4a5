/** What an audit of the log finds: of a piece its leaves and streams, and the first thing that is wrong. */
import type { Hash } from './tree.ts'

/** The first thing that is not as it was recorded, or not as it was signed. */
export interface Fault {
  /** Of the first event that is wrong; with `until`, somewhere from here up to there. */
  readonly position: number
  readonly until?: number
  readonly stream?: string
  readonly revision?: number
  readonly kind: FaultKind
  readonly message: string
}

export type FaultKind =
  /** There is no record at the position, or the storage cannot read it. */
  | 'missing'
  | 'unreadable'
  /** What binds the record is not there; does not fit its content; does not fit its place and time. */
  | 'evidence'
  | 'content'
  | 'entry'
  /** It does not follow upon the stream's events before it. */
  | 'revision'
  | 'time'
  | 'closed'
  /** The storage says of its stream that it ends elsewhere than in the log. */
  | 'stream'
  /** It is forgotten, and its stream has no tombstone; or a tombstone that is none. */
  | 'tombstone'
  /** The archive does not give back what was recorded there. */
  | 'archive'
  /** It is another one than was sealed there. */
  | 'leaf'
  /** The log is right so far, and what the ledger has stored of it is not. */
  | 'tile'
  /** The log ends before what was sealed. */
  | 'truncated'
  /** The tree over the log is not the one of the digest, and nothing tells where it begins to differ. */
  | 'digest'
  /** The digest is not signed by a key of the log. */
  | 'signature'

export type StateCounts = Readonly<Record<'stored' | 'trimmed' | 'forgotten' | 'tombstone', number>>

/** What a piece has of a stream. */
export interface Span {
  readonly first: Place
  last: Place
  closed: boolean
  /** The first record that reads as forgotten. */
  forgotten?: Place
}

export interface Place {
  readonly stream: string
  readonly revision: number
  readonly time: number
  readonly position: number
}

/** The leaves of up to 256 events, from where a tile begins. */
export interface Block {
  readonly leaves: Uint8Array
  /** Where it is a whole tile. */
  readonly root?: Hash
}

export interface PieceAudit {
  readonly after: number
  /** Up to here all is well. */
  readonly until: number
  readonly blocks: readonly Block[]
  readonly streams: ReadonlyMap<string, Span>
  readonly counts: StateCounts
  /** Archived events whose content was not looked at. */
  readonly unread: number
  /** Those that were not decrypted, because their key is not here, or no more: they are as they were stored. */
  readonly encrypted: number
  readonly fault?: Fault | undefined
}

/** Records of the log behind `after`, up to and with `until`. */
export interface Piece {
  readonly after: number
  readonly until: number
}

export interface Auditors {
  audit(piece: Piece): Promise<PieceAudit>
  close(): Promise<void>
}
