/** Callers known by JSON Web Tokens (RFC 7519): signed by one of the issuer's public keys, for this audience, in time. */
import { InvalidArgument } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { Unauthenticated } from '../core/request-errors.ts'
import { type Authenticate, checkScope, isScope } from './access.ts'
import { HttpError } from './problem.ts'

export interface JwtOptions {
  /** Where the issuer publishes its keys (`https:`, or `http:` on this machine): read again when an unknown key signs. */
  readonly jwks: string
  readonly issuer: string
  readonly audience: string
  /** The claim that holds scopes, as a text with blanks between or as a list; default `scope`. */
  readonly scopeClaim?: string
  /** What a value of that claim means here, where it is no scope of Daybook: `{ editor: ['read:*', 'append:*'] }`. */
  readonly scopes?: Readonly<Record<string, readonly string[]>>
}

/** Only what a public key can verify: with `none` or a shared secret anybody could sign. */
const algorithms = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519']

/** Throws `InvalidArgument` for options that cannot work. */
export async function jwtAccess(options: JwtOptions): Promise<Authenticate> {
  const { issuer, audience, scopeClaim = 'scope', scopes = {} } = options
  for (const [name, value] of Object.entries({ issuer, audience })) {
    if (value === '') throw new InvalidArgument(`jwt.${name}`, 'must not be empty')
  }
  for (const [value, meant] of Object.entries(scopes)) {
    for (const [index, scope] of meant.entries()) checkScope(scope, `jwt.scopes.${value}[${index}]`)
  }
  const { createRemoteJWKSet, errors, jwtVerify } = await import('jose')
  const keys = createRemoteJWKSet(jwksUrl(options.jwks), {
    timeoutDuration: limits.jwksMs,
    cooldownDuration: limits.jwksCooldownMs,
  })

  /** A value that is neither mapped nor a scope of Daybook means nothing here. */
  const scopesOf = (value: string): readonly string[] =>
    Object.hasOwn(scopes, value) ? (scopes[value] ?? []) : isScope(value) ? [value] : []

  return async (token) => {
    const { payload } = await jwtVerify(token, keys, {
      issuer,
      audience,
      algorithms,
      clockTolerance: limits.clockSkewMs / 1_000,
      requiredClaims: ['exp', 'sub'],
    }).catch((error: unknown) => {
      if (error instanceof errors.JWKSTimeout || !(error instanceof errors.JOSEError)) throw unreachable(error)
      if (error instanceof errors.JWKSInvalid || error.code === 'ERR_JOSE_GENERIC') throw unreachable(error)
      throw new Unauthenticated(reasonOf(error))
    })
    const claim = payload[scopeClaim]
    const values = typeof claim === 'string' ? claim.split(' ') : Array.isArray(claim) ? claim.map(String) : []
    return { name: `jwt:${payload.sub}`, scopes: values.flatMap(scopesOf) }
  }
}

function jwksUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  const local = url !== undefined && ['localhost', '127.0.0.1', '[::1]'].includes(url.hostname)
  if (url?.protocol === 'https:' || (url?.protocol === 'http:' && local)) return url
  throw new InvalidArgument('jwt.jwks', `"${text}" is no https: URL`)
}

/** Of what jose says only what helps an honest caller. */
function reasonOf({ code, message }: Error & { readonly code: string }): string {
  switch (code) {
    case 'ERR_JWT_EXPIRED':
      return 'the token has expired'
    case 'ERR_JWT_CLAIM_VALIDATION_FAILED':
      return `the token is not for here: ${message}`
    case 'ERR_JWKS_NO_MATCHING_KEY':
    case 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED':
      return 'the token is not signed by a key of the issuer'
    default:
      return 'this is no token that can be verified'
  }
}

function unreachable(cause: unknown): HttpError {
  const told = new HttpError('issuer-unreachable', "The issuer's keys cannot be had; try again later")
  return Object.assign(told, { cause })
}
