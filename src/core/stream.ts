/** Streams: the ordered events of one entity, named `type/id`; here is what is known of one without reading its events. */
import type { StreamHead } from './storage.ts'
import { formatInstant } from './time.ts'

/** What is known of a stream without reading its events. */
export interface StreamDetails {
  readonly stream: string
  /** Revision of its newest event. */
  readonly revision: number
  /** Record time of its newest event. */
  readonly updatedAt: string
  /** Position of its newest event; absent where the storage has not assigned it yet. */
  readonly position?: number
  /** It was forgotten: the newest event is its tombstone, and nothing can be written to it any more. */
  readonly forgotten: boolean
}

export function detailsOf({ stream, revision, time, position, closed }: StreamHead): StreamDetails {
  return {
    stream,
    revision,
    updatedAt: formatInstant(time),
    ...(position !== undefined && { position }),
    forgotten: closed,
  }
}
