/** What the tests ask an application with. */
import type { Store } from 'daybook'
import type { AppOptions, WebApp } from './app.ts'

export interface Answer {
  readonly status: number
  /** Parsed; undefined where it is no JSON. */
  readonly body: Record<string, unknown> | undefined
  readonly text: string
  readonly headers: Headers
}

export interface Asking {
  /** A text goes as it is. */
  readonly body?: unknown
  /** The `Idempotency-Key`. */
  readonly key?: string | undefined
  readonly headers?: Readonly<Record<string, string>>
}

export interface Caller {
  readonly store: Store
  send(method: string, path: string, asking?: Asking): Promise<Answer>
  get(path: string): Promise<Answer>
  post(path: string, body?: unknown, key?: string): Promise<Answer>
  /** What the application has written to its log. */
  readonly logged: readonly object[]
}

/** Paths without a slash are below `base`. */
export function callerOf(store: Store, createApp: (options: AppOptions) => WebApp, base = '/'): Caller {
  const logged: object[] = []
  const app = createApp({ store, log: { error: (facts) => logged.push(facts) } })
  const send = async (method: string, path: string, { body, key, headers }: Asking = {}): Promise<Answer> => {
    const isText = typeof body === 'string' || body instanceof Uint8Array
    const response = await app.request(path.startsWith('/') ? path : `${base}${path}`, {
      method,
      headers: { ...headers, ...(key !== undefined && { 'Idempotency-Key': key }) },
      ...(body !== undefined && { body: isText ? body : JSON.stringify(body) }),
    })
    const text = await response.text()
    const isJson = response.headers.get('content-type')?.startsWith('application/json')
    return { status: response.status, body: isJson ? JSON.parse(text) : undefined, text, headers: response.headers }
  }
  return {
    store,
    logged,
    send,
    get: (path) => send('GET', path),
    post: (path, body, key) => send('POST', path, { body, key }),
  }
}
