/** All routes, a row each; what they do is in the files that they come from. */
import type { Route } from '../web/route.ts'
import { proofRoute } from './proof.ts'
import { type Draw, publishingRoutes } from './publishing.ts'
import { readingRoutes } from './reading.ts'
import { replayingRoutes } from './replaying.ts'

export interface RouteOptions {
  /** By which the digests of the store's ledger are verified; without it there are no proofs. */
  readonly verifierKey?: string | undefined
  /** Where ids of ads come from; default a secure source. */
  readonly draw?: Draw
}

export function routesOf({ verifierKey, draw = () => crypto.randomUUID() }: RouteOptions): readonly Route[] {
  return [...publishingRoutes(draw), ...readingRoutes, proofRoute(verifierKey), ...replayingRoutes]
}
