/**
 * A server without access rules listens only on its own machine, but a browser on that machine may be made to ask it by
 * any page of the internet: by a form, or by a name that suddenly resolves to 127.0.0.1. Such requests are refused.
 */
import { HttpError } from './problem.ts'

/** Throws `HttpError` 403 for a request that a page of another origin sent, or that came by a name of somebody else. */
export function checkBrowser(request: Request, hosts: readonly string[], origins: readonly string[]): void {
  const { hostname, host } = new URL(request.url)
  if (!isAddress(hostname) && !isLocalName(hostname) && !hosts.includes(hostname)) {
    throw refused(`"${hostname}" is no name of this machine; name it as a trusted host, or set up access rules`)
  }
  const origin = request.headers.get('origin')
  if (origin === null || origins.includes(origin) || originHost(origin) === host) return
  throw refused(`Pages of ${origin} may not ask here; allow the origin, or set up access rules`)
}

/** A name can be made to resolve to this machine; an address cannot. */
function isAddress(hostname: string): boolean {
  return hostname.startsWith('[') || /^\d{1,3}(\.\d{1,3}){3}$/.test(hostname)
}

function isLocalName(hostname: string): boolean {
  return hostname === 'localhost' || hostname.endsWith('.localhost')
}

function originHost(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined
}

function refused(message: string): HttpError {
  return new HttpError('foreign-origin', message)
}
