/** What projections make of the events: one view, now or as it was; a page by an index, or by words. */
import * as z from 'zod/mini'
import { checkKey } from '../../core/document.ts'
import { type InvalidArgument, isStoreError } from '../../core/errors.ts'
import { parseJson } from '../../core/json.ts'
import { limits } from '../../core/limits.ts'
import { checkStream } from '../../core/name.ts'
import type { GetOptions, ViewQuery } from '../../core/view.ts'
import type { Need } from '../access.ts'
import { pageOf } from '../asked.ts'
import { HttpError, invalid } from '../problem.ts'
import type { Asked, Query, Route } from '../route.ts'
import { cursor, direction, keeps, looksLike, type Param, pagedAnswer, pageLimit, text, wholeNumber } from '../wire.ts'

const projectionPattern = `[A-Za-z0-9][A-Za-z0-9._-]{0,${limits.projectionNameCharacters - 1}}`
const labelPattern = `[A-Za-z0-9][A-Za-z0-9._-]{0,${limits.replayLabelCharacters - 1}}`

const named = (pattern: string, rule: string) =>
  text(z.regex(new RegExp(`^${pattern}$`), { error: rule }), looksLike(pattern))

export const projection: Param = {
  schema: named(projectionPattern, 'is no name that a projection can have'),
  description: 'The name of the projection.',
  example: 'customers',
}
export const label: Param = {
  schema: named(labelPattern, 'is no label that a replay can have'),
  description: 'What the replay was kept under.',
  example: 'before',
}
export const view: Param = {
  schema: named(`${projectionPattern}(~${labelPattern})?`, 'is no name that a view can have'),
  description: 'The name of the projection; or with `~` and a label, what a replay has kept under it.',
  example: 'customers',
}
const viewId: Param = {
  schema: text(keeps((id) => checkKey(id, 'id'))),
  description: 'The id of the view.',
  example: '42',
}
const at = (what: string): Param => ({ schema: text(), description: what, example: '2026-01-31T09:30:00.000Z' })
const after: Param = {
  schema: text(),
  description:
    'Waits until the view holds this event: a stream, percent-encoded where it must be, "@", and a revision.',
  example: 'customer/42@7',
}
const timeout: Param = {
  schema: wholeNumber(0, limits.viewWaitMsMost),
  description: `How long that may take, in milliseconds; default ${limits.viewWaitMs}.`,
  example: 1_000,
}
const json = (what: string, example: string): Param => ({ schema: text(), description: what, example })

const exampleView = { id: '42', view: { name: 'Ann', city: 'Bern', orders: 3 } }
const shown = z.object({ id: z.string(), view: z.record(z.string(), z.unknown()) })

export const viewRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/views/{view}/{viewId}',
    tag: 'Views',
    summary: 'One view: as it is, or as it was at a revision or an instant',
    params: { view, viewId },
    query: {
      at: at('As it was at a revision, where it is made of one stream, or at an instant; folded from the log.'),
      from: at('Only what was recorded from this revision or instant on is folded.'),
    },
    headers: { 'Daybook-After': after, 'Daybook-Timeout-Ms': timeout },
    answer: { status: 200, schema: shown, description: 'The view.', example: exampleView },
    problems: [
      'view-not-found',
      'projection-not-found',
      'projection-missing',
      'projection-failed',
      'view-not-ready',
      'view-behind',
    ],
    needs: readsView,
    async handle({ store, params, query, headers, signal }) {
      const id = String(params['viewId'])
      const found = await store.views.get(String(params['view']), id, {
        ...(query['at'] !== undefined && { at: untilOf(String(query['at'])) }),
        ...(query['from'] !== undefined && { from: untilOf(String(query['from'])) }),
        ...afterOf(headers['Daybook-After']),
        ...(headers['Daybook-Timeout-Ms'] !== undefined && { timeoutMs: Number(headers['Daybook-Timeout-Ms']) }),
        signal,
      })
      if (found === undefined) throw new HttpError('view-not-found', `${params['view']} has no view "${id}"`)
      return { id, view: found }
    },
  },
  {
    method: 'GET',
    path: '/views/{view}',
    tag: 'Views',
    summary: 'A page of views: by a declared index, or by words',
    description:
      'An index answers by a value for each of its `equals` fields and a range of the field that it orders by. Values are JSON: a text stands in quotes. With `text` it is a search instead, which takes `limit` and `cursor` only.',
    params: { view },
    query: {
      index: json('The index; may be left out where one index alone has the fields of `equals`.', 'by-city'),
      equals: json("A value for each of the index's fields: a JSON object.", '{"city":"Bern"}'),
      from: json('Only from this value of the order on; JSON.', '10'),
      to: json('Only up to and with this value of the order; JSON.', '75'),
      direction,
      text: json('Words that a view must all hold, the last one as a beginning.', 'red bicy'),
      limit: pageLimit,
      cursor,
    },
    answer: pagedAnswer('views', shown, { example: exampleView }),
    problems: ['projection-not-found', 'projection-missing', 'view-not-ready'],
    needs: readsView,
    handle: ({ store, params, query, signal }) => {
      const page = { ...pageOf(query), signal }
      const name = String(params['view'])
      if (query['text'] === undefined) return store.views.query(name, { ...queryOf(query), ...page })
      const beside = ['index', 'equals', 'from', 'to', 'direction'].find((name) => query[name] !== undefined)
      if (beside !== undefined) throw invalid({ [beside]: ['a search has none'] })
      return store.views.search(name, { text: String(query['text']), ...page })
    },
  },
]

/** Of what a label holds, that of its projection. */
function readsView({ params }: Asked): readonly Need[] {
  return [{ action: 'view', view: String(params['view']).split('~')[0] ?? '' }]
}

/** Digits are a revision. */
function untilOf(text: string): number | string {
  return /^-?\d{1,15}$/.test(text) ? Number(text) : text
}

function afterOf(header: string | number | undefined): Pick<GetOptions, 'after'> {
  if (header === undefined) return {}
  const [, encoded = '', digits] = /^(.*)@(\d{1,15})$/.exec(String(header)) ?? []
  try {
    const stream = decodeURIComponent(encoded)
    checkStream(stream)
    return { after: { stream, revision: Number(digits) } }
  } catch (error) {
    if (!(error instanceof URIError) && !isStoreError(error)) throw error
    throw invalid({ 'Daybook-After': ['must be a stream, "@" and a revision: customer/42@7'] })
  }
}

function queryOf(query: Query): ViewQuery {
  return {
    ...(query['index'] !== undefined && { index: String(query['index']) }),
    ...(query['direction'] !== undefined && {
      direction: query['direction'] === 'backwards' ? 'backwards' : 'forwards',
    }),
    ...jsonOf(query, 'equals'),
    ...jsonOf(query, 'from'),
    ...jsonOf(query, 'to'),
  }
}

/** What it must be the store itself looks at. */
function jsonOf(query: Query, name: 'equals' | 'from' | 'to'): object {
  const text = query[name]
  if (text === undefined) return {}
  try {
    return { [name]: parseJson(String(text), name) }
  } catch (error) {
    if (!isStoreError(error, 'invalid-argument') || (error as InvalidArgument).path !== name) throw error
    throw invalid({ [name]: ['must be JSON, in which a text stands in quotes'] })
  }
}
