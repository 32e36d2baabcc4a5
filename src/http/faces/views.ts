/** The client's views: the store's, as a server serves them. */
import { checkObject, checkOrdinal } from '../../core/argument.ts'
import { InvalidArgument } from '../../core/errors.ts'
import { limits } from '../../core/limits.ts'
import { checkStream } from '../../core/name.ts'
import type { GetOptions, ViewPage, Views } from '../../core/view.ts'
import { nameOf, type ViewOf } from '../../core/view-of.ts'
import { instantText, parameters, segment } from '../parameters.ts'
import type { Requester } from '../request.ts'

export function viewsOver({ ask }: Requester): Views {
  return {
    async get<View extends object>(view: ViewOf<View>, id: string, options: GetOptions = {}) {
      checkObject(options, 'options')
      const { at, from, signal } = options
      const path = `/views/${segment(nameOf(view), 'view')}/${segment(id, 'id')}`
      const query = parameters({ at: instantText(at, 'at'), from: instantText(from, 'from') })
      const absent = 'view-not-found'
      const answer = await ask<{ readonly view: View } | undefined>('GET', path, {
        ...{ query, absent, signal },
        ...waitFor(options),
      })
      return answer?.view
    },
    async query(view, query) {
      checkObject(query, 'query')
      const { index, equals, from, to, direction, limit, cursor, signal } = query
      if (equals !== undefined) checkObject(equals, 'equals')
      const asked = parameters({
        index,
        equals: json(equals),
        from: json(from),
        to: json(to),
        direction,
        limit,
        cursor,
      })
      return ask('GET', `/views/${segment(nameOf(view), 'view')}`, { query: asked, signal })
    },
    async search<View extends object>(
      view: ViewOf<View>,
      { text, limit, cursor, signal }: Parameters<Views['search']>[1],
    ) {
      if (typeof text !== 'string') throw new InvalidArgument('text', 'must be a text')
      const query = parameters({ text, limit, cursor })
      return ask<ViewPage<View>>('GET', `/views/${segment(nameOf(view), 'view')}`, { query, signal })
    },
  }
}

/** The server waits, so the try may take so much longer. */
function waitFor({ after, timeoutMs }: GetOptions) {
  if (after === undefined) return {}
  checkObject(after, 'after')
  checkStream(after.stream, 'after.stream')
  checkOrdinal(after.revision, 'after.revision')
  if (timeoutMs !== undefined) checkOrdinal(timeoutMs, 'timeoutMs')
  const headers = {
    'daybook-after': `${encodeURI(after.stream)}@${after.revision}`,
    ...(timeoutMs !== undefined && { 'daybook-timeout-ms': String(timeoutMs) }),
  }
  return { headers, waitMs: timeoutMs ?? limits.viewWaitMs }
}

function json(value: unknown): string | undefined {
  return value === undefined ? undefined : JSON.stringify(value)
}
