/** One request of the client: its credential, its time, its tries, and the typed error that a problem becomes. */
import { reviveError } from '../core/error-data.ts'
import { errorCodes, InvalidArgument, isStoreError, OutcomeUnknown, StoreClosed } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { RequestFailed, ServerUnreachable } from '../core/request-errors.ts'
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
  /** How often a request is sent at most; default 8. */
  readonly tries?: number
  /** What answers may be compressed with; default none, for where the network is not the slowest part. */
  readonly compression?: 'gzip'
  /** From then on nothing is begun; what is under way has this one try to end. */
  readonly closing: AbortSignal
}

export type Method = 'GET' | 'POST' | 'PUT' | 'DELETE'
export type Parameters = readonly (readonly [name: string, value: string])[]

/** When something is sent again, and when no more. */
export interface Repeating {
  /** Of the events that it writes: it may have been done although no answer came. */
  readonly ids?: readonly string[]
  /** Whether an error tells that an earlier try, of which no answer came, has done it: then the answer is undefined. */
  readonly isDone?: (failure: Error) => boolean
  /** Done twice it may come out otherwise: it is not sent again where an earlier try may have done it. */
  readonly once?: boolean
  readonly signal?: AbortSignal | undefined
}

export interface Demand extends Repeating {
  readonly query?: Parameters
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: unknown
  /** The kind of the problem that there is no such thing: then the answer is undefined. */
  readonly absent?: string
  /** For how long the server is asked to wait; on top of the time for one try. */
  readonly waitMs?: number
}

/** What comes of one try. */
export type Came<Answer> = { readonly answer: Answer } | { readonly failure: Error }

export interface Requester {
  readonly url: string
  /** Aborted when the client closes. */
  readonly closing: AbortSignal
  /** The answer's JSON. Throws typed errors, with the server's `requestId` where it has answered. */
  ask<Answer>(method: Method, path: string, demand?: Demand): Promise<Answer>
  /** Tries until there is an answer, or an error that does not heal. `doubtful`: an earlier try may have done it. */
  trying<Answer>(one: (doubtful: boolean) => Promise<Came<Answer>>, repeating: Repeating): Promise<Answer>
  /** Resolves when what was asked before it closed has ended. */
  settled(): Promise<void>
  /** A response as it begins, sent once; what is no success is thrown. */
  begin(
    method: Method,
    path: string,
    demand: Pick<Demand, 'query' | 'body' | 'headers'> & { readonly signal: AbortSignal },
  ): Promise<Response>
}

export function createRequester(options: RequesterOptions): Requester {
  const { token, closing, timeoutMs = limits.clientMs, tries: most = limits.clientTries } = options
  const url = checkUrl(options.url)
  checkCount(timeoutMs, 'timeoutMs')
  checkCount(most, 'tries')
  const send = options.fetch ?? globalThis.fetch
  const underWay = new Set<Promise<unknown>>()

  /** With a credential of now; what the caller's own function throws is the caller's. */
  async function headersOf(more: Readonly<Record<string, string>>): Promise<Record<string, string>> {
    const credential = typeof token === 'function' ? await token() : token
    return { ...more, ...(credential !== undefined && { authorization: `Bearer ${credential}` }) }
  }

  function addressOf(path: string, query: Parameters): string {
    const search = new URLSearchParams()
    for (const [name, value] of query) search.append(name, value)
    return `${url}${path}${query.length === 0 ? '' : `?${search}`}`
  }

  /** One try: the answer, or the error that came instead. Throws the caller's own reason to end it. */
  async function once(
    address: string,
    init: RequestInit,
    { signal, absent, waitMs = 0 }: Demand,
  ): Promise<Came<unknown>> {
    const timeout = AbortSignal.timeout(timeoutMs + waitMs)
    const ended = signal ? AbortSignal.any([signal, timeout]) : timeout
    try {
      const response = await send(address, { ...init, redirect: 'manual', signal: ended })
      if (response.ok) return { answer: await response.json() }
      const { kind, error } = await failureOf(response)
      return kind !== undefined && kind === absent ? { answer: undefined } : { failure: error }
    } catch (error) {
      signal?.throwIfAborted()
      return { failure: new ServerUnreachable(url, error) }
    }
  }

  async function ask(method: Method, path: string, demand: Demand): Promise<unknown> {
    const { query = [], body, headers } = demand
    // Left to itself, fetch asks for compression, which costs more than it saves on a fast network.
    const plain = { 'accept-encoding': options.compression ?? 'identity', 'content-type': 'application/json' }
    const address = addressOf(path, query)
    const init = { method, ...bodyOf(body) }
    return tryOn(
      async () => once(address, { ...init, headers: await headersOf({ ...plain, ...headers }) }, demand),
      demand,
    )
  }

  async function tryOn<Answer>(
    one: (doubtful: boolean) => Promise<Came<Answer>>,
    { ids, isDone, once, signal }: Repeating,
  ): Promise<Answer> {
    for (let tries = 1, doubtful = false; ; tries++) {
      const came = await one(doubtful)
      if ('answer' in came) return came.answer
      const { failure } = came
      if (doubtful && isDone?.(failure)) return undefined as Answer
      doubtful ||= mayHaveBeenDone(failure)
      const over = !mayHeal(failure) || tries >= most || closing.aborted || (once === true && doubtful)
      if (over) throw doubtful && ids && mayHeal(failure) ? new OutcomeUnknown(ids, failure) : failure
      await sleep(waitMs(failure, tries), signal ? AbortSignal.any([closing, signal]) : closing)
      signal?.throwIfAborted()
    }
  }

  async function watched<Answer>(asking: () => Promise<Answer>, signal: AbortSignal | undefined): Promise<Answer> {
    if (closing.aborted) throw new StoreClosed()
    signal?.throwIfAborted()
    const asked = asking()
    underWay.add(asked)
    try {
      return await asked
    } finally {
      underWay.delete(asked)
    }
  }

  return {
    url,
    closing,
    ask: <Answer>(method: Method, path: string, demand: Demand = {}) =>
      watched(() => ask(method, path, demand) as Promise<Answer>, demand.signal),
    trying: (one, repeating) => watched(() => tryOn(one, repeating), repeating.signal),
    async settled() {
      await Promise.allSettled(underWay)
    },
    async begin(method, path, { query = [], body, headers, signal }) {
      const plain = { 'accept-encoding': 'identity', ...(body !== undefined && { 'content-type': 'application/json' }) }
      const init = { method, ...bodyOf(body), headers: await headersOf({ ...plain, ...headers }), signal }
      const response = await send(addressOf(path, query), { ...init, redirect: 'manual' })
      if (!response.ok) throw (await failureOf(response)).error
      return response
    },
  }
}

function bodyOf(body: unknown): { readonly body?: string } {
  return body === undefined ? {} : { body: JSON.stringify(body) }
}

/** The request may have had its effect although this came back. */
function mayHaveBeenDone(error: unknown): boolean {
  if (isStoreError(error, 'server-unreachable') || isStoreError(error, 'outcome-unknown')) return true
  return isStoreError(error, 'request-failed') && mayHeal(error)
}

function checkCount(value: number, path: string): void {
  if (!Number.isSafeInteger(value) || value < 1) throw new InvalidArgument(path, 'must be 1, 2, 3 …')
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

/** The typed error of a response that is no success, and the kind of its problem where it is one of Daybook. */
async function failureOf(response: Response): Promise<{ readonly kind?: string; readonly error: Error }> {
  const text = await response.text().catch(() => '')
  const requestId = response.headers.get('x-request-id')
  const problem = parseProblem(text)
  if (problem === undefined) {
    const message = `${response.url || 'The server'} answered ${response.status}, and nothing that Daybook says`
    return { error: withRequestId(new RequestFailed(message, response.status), requestId) }
  }
  return { kind: kindOf(problem), error: errorOfProblem(problem, requestId) }
}

function kindOf({ type }: Readonly<Record<string, unknown>>): string {
  return String(type).replace('urn:daybook:problem:', '')
}

export function errorOfProblem(problem: Readonly<Record<string, unknown>>, requestId: string | null): Error {
  const { type, title: _, status, details, requestId: __, ...rest } = problem
  const code = kindOf(problem)
  const message = String(rest['message'])
  if (!errorCodes.some((known) => known === code)) {
    return withRequestId(new RequestFailed(`${message} (${String(type)})`, Number(status)), requestId)
  }
  const [place] = Object.entries((details as { messages?: Record<string, string[]> } | null)?.messages ?? {})
  const where =
    place === undefined ? {} : { path: place[0], ...(code === 'invalid-argument' && { reason: place[1][0] }) }
  const facts = { ...where, ...rest, code, ...(code === 'request-failed' && { status }) }
  return withRequestId(reviveError(facts), requestId)
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
