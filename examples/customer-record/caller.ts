/** What the tests ask the application with. */
import { openStore, type Storage, type Store, type StoreOptions } from 'daybook'
import { createApp } from './app.ts'
import { customerViews, requestViews } from './views.ts'

export interface Answer {
  readonly status: number
  /** Parsed; undefined where there is none. */
  readonly body: Record<string, unknown> | undefined
  readonly headers: Headers
}

export interface Caller {
  readonly store: Store
  get(path: string): Promise<Answer>
  /** A text goes as it is; `key` as the `Idempotency-Key`. */
  post(path: string, body?: unknown, key?: string): Promise<Answer>
  send(path: string, init: RequestInit): Promise<Answer>
  /** What the application has written to its log. */
  readonly logged: readonly object[]
}

export async function callerOf(storage: Storage, options: StoreOptions = {}): Promise<Caller> {
  const store = await openStore(storage, { ...options, projections: [customerViews, requestViews] })
  const logged: object[] = []
  const app = createApp({ store, log: { error: (facts) => logged.push(facts) } })
  const send = async (path: string, init: RequestInit): Promise<Answer> => {
    const response = await app.request(path.startsWith('/') ? path : `/customer/v1/${path}`, init)
    const text = await response.text()
    const isJson = response.headers.get('content-type')?.startsWith('application/json')
    return { status: response.status, body: isJson ? JSON.parse(text) : undefined, headers: response.headers }
  }
  return {
    store,
    logged,
    send,
    get: (path) => send(path, {}),
    post(path, body, key) {
      const isText = typeof body === 'string' || body instanceof Uint8Array
      return send(path, {
        method: 'POST',
        ...(body !== undefined && { body: isText ? body : JSON.stringify(body) }),
        ...(key !== undefined && { headers: { 'Idempotency-Key': key } }),
      })
    },
  }
}
