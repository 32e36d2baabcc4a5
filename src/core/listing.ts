/** Which streams there are: by type, least recently updated first. */

import { limits } from './limits.ts'
import { pageSize, type Reading } from './read.ts'
import { detailsOf, type StreamDetails } from './stream.ts'
import { parseInstant } from './time.ts'

export interface StreamsOptions {
  /** Only those updated at or after this instant. */
  readonly updatedAfter?: string | Date
  readonly signal?: AbortSignal
}

export interface StreamsPageOptions extends StreamsOptions {
  /** `next` of the page before. */
  readonly cursor?: string
  /** 1 to 1,000; default 100. */
  readonly limit?: number
}

export interface StreamsPage {
  readonly streams: readonly StreamDetails[]
  readonly next?: string
}

export async function streamsPage(
  { storage }: Pick<Reading, 'storage'>,
  type: string,
  options: StreamsPageOptions,
): Promise<StreamsPage> {
  const { updatedAfter, cursor, limit, signal } = options
  signal?.throwIfAborted()
  const page = await storage.listStreams({
    type,
    ...(updatedAfter !== undefined && { updatedFrom: parseInstant(updatedAfter, 'updatedAfter', 'up') }),
    ...(cursor !== undefined && { cursor }),
    limit: pageSize(limit),
  })
  return { streams: page.streams.map(detailsOf), ...(page.next !== undefined && { next: page.next }) }
}

/** A stream that is written while this runs may come twice; `pageOf` asks for one page. */
export async function* streamsPages(
  pageOf: (options: StreamsPageOptions) => Promise<StreamsPage>,
  options: StreamsOptions,
): AsyncGenerator<readonly StreamDetails[]> {
  let cursor: string | undefined
  do {
    options.signal?.throwIfAborted()
    const page = await pageOf({ ...options, ...(cursor && { cursor }), limit: limits.pageRecords })
    yield page.streams
    cursor = page.next
  } while (cursor !== undefined)
}
