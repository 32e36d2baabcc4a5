/** Who may do what: principals with scopes, what a request needs, and how a request says who it is. */
import { Forbidden, InvalidArgument, Unauthenticated } from '../core/errors.ts'
import { streamTypePattern } from '../core/name.ts'

/** `read`, `append` and `forget` are of a stream type; `operate` is the server: metrics and what it tells of itself. */
export type Action = 'read' | 'append' | 'forget' | 'operate'

/** What a request needs; without a stream type, that of all. */
export interface Need {
  readonly action: Action
  readonly streamType?: string
}

export interface Principal {
  /** `key:import-job`, `jwt:alice`: for the audit line and, on request, the events' meta. */
  readonly name: string
  /** `append:permit`, `read:*`, `operate`, `*`; checked by `checkScope`. */
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

function allows(scope: string, { action, streamType }: Need): boolean {
  if (scope === '*') return true
  if (action === 'operate') return scope === action
  const colon = scope.indexOf(':')
  const type = scope.slice(colon + 1)
  return scope.slice(0, colon) === action && (type === '*' || type === streamType)
}

function scopeOf({ action, streamType }: Need): string {
  return action === 'operate' ? action : `${action}:${streamType ?? '*'}`
}

/** Throws `InvalidArgument` for what is no scope. */
export function checkScope(scope: string, path: string): void {
  if (isScope(scope)) return
  const examples = 'read:permit, append:*, forget:permit, operate or *'
  throw new InvalidArgument(path, `${JSON.stringify(scope)} is no scope; write ${examples}`)
}

export function isScope(scope: string): boolean {
  if (scope === '*' || scope === 'operate') return true
  const [, action, type = ''] = /^(read|append|forget):(.*)$/.exec(scope) ?? []
  return action !== undefined && (type === '*' || streamTypePattern.test(type))
}
