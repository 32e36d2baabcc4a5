/** Who may do what: principals with scopes, what a request needs, and how a request says who it is. */
import { InvalidArgument } from '../core/errors.ts'
import { streamTypePattern } from '../core/name.ts'
import { Forbidden, Unauthenticated } from '../core/request-errors.ts'

/**
 * `read`, `append` and `forget` are of a stream type, `view` is of a projection. `operate` is to see how the server and its
 * work are; `manage` is to steer that work, and to see what may quote an event.
 */
export type Need =
  /** Without a stream type, that of all. */
  | { readonly action: 'read' | 'append' | 'forget'; readonly streamType?: string }
  | { readonly action: 'view'; readonly view: string }
  | { readonly action: 'operate' | 'manage' }

export interface Principal {
  /** `key:import-job`, `jwt:alice`: for the audit line and, on request, the events' meta. */
  readonly name: string
  /** `append:permit`, `read:*`, `view:customers`, `operate`, `*`; checked by `checkScope`. */
  readonly scopes: readonly string[]
}

/** Finds out whose a bearer token is. Throws `Unauthenticated` for one that is nobody's. */
export type Authenticate = (token: string) => Promise<Principal>

/** How a server knows its callers; at least one way. */
export interface Access {
  /** By API keys: `keyAccess(storage)`. */
  readonly keys?: Authenticate
  /** By signed tokens: `jwtAccess(options)`. */
  readonly jwt?: Authenticate
}

/** API keys begin with this, so that a scanner of source code can tell them from everything else. */
export const keyPrefix = 'daybook_'

/** Whose request it is. Throws `Unauthenticated`. */
export async function authenticate({ keys, jwt }: Access, headers: Headers): Promise<Principal> {
  const header = headers.get('authorization')
  if (header === null) throw new Unauthenticated('send "Authorization: Bearer …"')
  const token = /^Bearer +([\x21-\x7e]+)$/i.exec(header)?.[1]
  if (token === undefined) throw new Unauthenticated('the Authorization header is no "Bearer …"')
  const way = token.startsWith(keyPrefix) ? keys : jwt
  if (way === undefined) throw new Unauthenticated('this kind of token is not taken here')
  return way(token)
}

/** Throws `Forbidden` with the scope that is missing. */
export function authorize({ scopes }: Principal, needs: readonly Need[]): void {
  for (const need of needs) {
    if (!scopes.some((scope) => allows(scope, need))) throw new Forbidden(scopeOf(need))
  }
}

function allows(scope: string, need: Need): boolean {
  if (scope === '*' || scope === scopeOf(need)) return true
  switch (need.action) {
    case 'operate':
      return scope === 'manage'
    case 'manage':
      return false
    case 'view':
      // Whoever reads all streams could fold them himself.
      return scope === 'view:*' || scope === 'read:*'
    case 'read':
    case 'append':
    case 'forget':
      return scope === `${need.action}:*`
  }
}

function scopeOf(need: Need): string {
  switch (need.action) {
    case 'operate':
    case 'manage':
      return need.action
    case 'view':
      return `view:${need.view}`
    case 'read':
    case 'append':
    case 'forget':
      return `${need.action}:${need.streamType ?? '*'}`
  }
}

/** Throws `InvalidArgument` for what is no scope. */
export function checkScope(scope: string, path: string): void {
  if (isScope(scope)) return
  const examples = 'read:permit, append:*, forget:permit, view:customers, operate, manage or *'
  throw new InvalidArgument(path, `${JSON.stringify(scope)} is no scope; write ${examples}`)
}

export function isScope(scope: string): boolean {
  if (scope === '*' || scope === 'operate' || scope === 'manage') return true
  const [, action, type = ''] = /^(read|append|forget|view):(.*)$/.exec(scope) ?? []
  return action !== undefined && (type === '*' || streamTypePattern.test(type))
}
