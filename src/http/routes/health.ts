/** How the server is, and what it serves. */
import * as z from 'zod/mini'
import type { Store } from '../../core/store.ts'
import { formatInstant } from '../../core/time.ts'
import { operates } from '../asked.ts'
import { HttpError } from '../problem.ts'
import type { Route } from '../route.ts'
import { instant, revision, storeInfo } from '../wire.ts'

const logId = '7efc92b7-fa2d-402c-84ad-60a86ef237a8'

export const healthRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/liveness-check',
    tag: 'Server',
    summary: 'Whether the process answers',
    answer: {
      status: 200,
      schema: z.object({ status: z.literal('ok'), at: instant }),
      description: 'It does.',
      example: { status: 'ok', at: '2026-01-31T09:30:00.000Z' },
    },
    problems: [],
    handle: async () => ({ status: 'ok', at: formatInstant(Date.now()) }),
  },
  {
    method: 'GET',
    path: '/readiness',
    tag: 'Server',
    summary: 'Whether the store answers',
    answer: {
      status: 200,
      schema: z.object({ status: z.literal('ok'), logId: z.string(), head: revision }),
      description: 'It does, and this is the log that it serves.',
      example: { status: 'ok', logId, head: 8_577 },
    },
    problems: ['not-ready'],
    async handle({ store }) {
      const { logId, head } = await ready(store)
      return { status: 'ok', logId, head }
    },
  },
  {
    method: 'GET',
    path: '/info',
    tag: 'Server',
    summary: 'What the store tells of itself',
    answer: {
      status: 200,
      schema: storeInfo,
      description: 'The id and the head of its log, its storage, and numbers of that by name and unit.',
      example: { logId, head: 8_577, storage: 'sqlite:./daybook.db', gauges: { walBytes: 0, fileBytes: 5_877_760 } },
    },
    problems: [],
    needs: operates,
    handle: ({ store }) => store.info(),
  },
  {
    method: 'GET',
    path: '/metrics',
    tag: 'Server',
    summary: 'Counts, times and sizes',
    answer: {
      status: 200,
      description: 'For Prometheus.',
      media: {
        'text/plain': { description: 'Prometheus text.', example: 'daybook_appends_total{outcome="committed"} 8577\n' },
      },
    },
    problems: ['unknown-path'],
    needs: operates,
    async handle({ printMetrics }) {
      if (printMetrics === undefined) throw new HttpError('unknown-path', 'This server keeps no metrics')
      return printMetrics()
    },
  },
]

async function ready(store: Store) {
  try {
    return await store.info()
  } catch (cause) {
    throw Object.assign(new HttpError('not-ready', 'The store does not answer'), { cause })
  }
}
