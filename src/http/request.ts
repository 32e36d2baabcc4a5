/** One request of the client: its credential, its time, its tries, and the typed error that a problem becomes. */
import {
  errorCodes,
  InvalidArgument,
  isStoreError,
  OutcomeUnknown,
  RequestFailed,
  reviveError,
  ServerUnreachable,
  StoreClosed,
} from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { backoffMs, sleep } from '../core/turn.ts'

export interface RequesterOptions {
  /** Where the server is, with the path before `/streams` if it has one: `https://events.example.org`. */
  readonly url: string
  /** An API key or a signed token; a function is asked before each try, for tokens that run out. */
  readonly token?: string | (() => string | Promise<string>)
  /** Default: the runtime's own. */
  readonly fetch?: typeof fetch
  /** For one try; default 30,000. */
  readonly timeoutMs?: number
  /** How often a request is sent at most; default 6. */
  readonly tries?: number
  /** What answers may be compressed with; default none, for where the network is not the slowest part. */
  readonly compression?: 'gzip'
  /** Ends whatever is under way. */
  readonly closing: AbortSignal
}

export type Parameters = readonly (readonly [name: string, value: string])[]

export interface Demand {
  readonly query?: Parameters
  readonly body?: unknown
  /** Of the events that it writes: it may have been done although no answer came. */
  readonly ids?: readonly string[]
  readonly signal?: AbortSignal | undefined
}

export interface Requester {
  readonly url: string
  /** The answer's JSON. Throws typed errors, with the server's `requestId` where it has answered. */
  ask<Answer>(method: 'GET' | 'POST', path: string, demand?: Demand): Promise<Answer>
  /** A response as it begins, sent once; what is no success is thrown. */
  begin(
    path: string,
    query: Parameters,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<Response>
}

export function createRequester(options: RequesterOptions): Requester {
  const { token, closing, timeoutMs = limits.clientMs, tries: most = limits.clientTries } = options
  const url = checkUrl(options.url)
  const send = options.fetch ?? globalThis.fetch

  async function once(
    path: string,
    query: Parameters,
    {
      headers,
      ...init
    }: { method: string; headers: Readonly<Record<string, string>>; body?: string; signal: AbortSignal },
  ): Promise<Response> {
    const credential = typeof token === 'function' ? await token() : token
    const search = new URLSearchParams()
    for (const [name, value] of query) search.append(name, value)
    return send(`${url}${path}${query.length === 0 ? '' : `?${search}`}`, {
      ...init,
      headers: { ...headers, ...(credential !== undefined && { authorization: `Bearer ${credential}` }) },
      redirect: 'error',
    })
  }

  return {
    url,
    async ask<Answer>(method: 'GET' | 'POST', path: string, demand: Demand = {}) {
      let doubtful = false
      for (let tries = 1; ; tries++) {
        if (closing.aborted) throw new StoreClosed()
        let failure: unknown
        try {
          const { query = [], body, signal } = demand
          const response = await once(path, query, {
            method,
            // Left to itself, fetch asks for compression, which costs more than it saves on a fast network.
            headers: { 'accept-encoding': options.compression ?? 'identity', 'content-type': 'application/json' },
            ...(body !== undefined && { body: JSON.stringify(body) }),
            signal: AbortSignal.any([closing, AbortSignal.timeout(timeoutMs), ...(signal ? [signal] : [])]),
          })
          if (response.ok) return (await response.json()) as Answer
          failure = await errorOf(response)
        } catch (error) {
          if (closing.aborted) throw new StoreClosed()
          demand.signal?.throwIfAborted()
          failure = new ServerUnreachable(url, error)
        }
        doubtful ||= isStoreError(failure, 'server-unreachable') || isStoreError(failure, 'outcome-unknown')
        if (!mayHeal(failure)) throw failure
        if (tries >= most) throw doubtful && demand.ids ? new OutcomeUnknown(demand.ids, failure) : failure
        await sleep(waitMs(failure, tries), demand.signal ? AbortSignal.any([closing, demand.signal]) : closing)
      }
    },
    async begin(path, query, headers, signal) {
      const response = await once(path, query, {
        method: 'GET',
        headers: { 'accept-encoding': 'identity', ...headers },
        signal,
      })
      if (!response.ok) throw await errorOf(response)
      return response
    },
  }
}

/** What may be otherwise when it is asked again; all of it is safe to ask again. */
export function mayHeal(error: unknown): boolean {
  if (!isStoreError(error)) return true
  if (error.code === 'request-failed') return (error as RequestFailed).status >= 500
  return healing.has(error.code)
}

const healing = new Set<string>([
  'server-unreachable',
  'store-busy',
  'store-closed',
  'storage-failed',
  'outcome-unknown',
  'rate-limited',
])

function waitMs(error: unknown, tries: number): number {
  const asked = (error as { readonly retryAfterMs?: number }).retryAfterMs ?? 0
  return Math.max(
    Math.min(asked, limits.clientBackoffMsMax),
    backoffMs(tries, limits.clientBackoffMs, limits.clientBackoffMsMax),
  )
}

/** The typed error of a response that is no success. */
async function errorOf(response: Response): Promise<Error> {
  const text = await response.text().catch(() => '')
  const requestId = response.headers.get('x-request-id')
  const problem = parseProblem(text)
  if (problem === undefined) {
    const message = `The server answered ${response.status} without a problem that could be read`
    return withRequestId(new RequestFailed(message, response.status), requestId)
  }
  return errorOfProblem(problem, requestId)
}

export function errorOfProblem(problem: Readonly<Record<string, unknown>>, requestId: string | null): Error {
  const { type, title: _, status, details, requestId: __, ...facts } = problem
  const code = String(type).replace('urn:daybook:problem:', '')
  const message = String(facts['message'])
  if (!errorCodes.some((known) => known === code)) {
    return withRequestId(new RequestFailed(`${message} (${String(type)})`, Number(status)), requestId)
  }
  const [place] = Object.entries((details as { messages?: Record<string, string[]> } | null)?.messages ?? {})
  const where =
    place === undefined ? {} : { path: place[0], ...(code === 'invalid-argument' && { reason: place[1][0] }) }
  return withRequestId(reviveError({ ...where, ...facts, code }), requestId)
}

function withRequestId(error: Error, requestId: string | null): Error {
  return requestId === null ? error : Object.assign(error, { requestId })
}

function parseProblem(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && 'type' in value ? { ...value } : undefined
  } catch {
    return undefined
  }
}

function checkUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.search !== '' || url.hash !== '') {
    throw new InvalidArgument('url', `${JSON.stringify(text)} is no address of a server: https://events.example.org`)
  }
  if (url.username !== '' || url.password !== '') {
    throw new InvalidArgument('url', 'holds a password; give a token instead')
  }
  return url.href.replace(/\/+$/, '')
}
