/** Page keys: where a listing goes on, and in which listing, so that nobody goes on with one in another. */
import { InvalidArgument } from './errors.ts'
import { derivedId } from './id.ts'

/** `listing` says what is listed and how, as JSON; `place` is where the storage's page ended. */
export function pageKey(listing: readonly unknown[], place: string): string {
  return `${markOf(listing, place)}~${encodeURIComponent(place)}`
}

/** The place again. Throws `InvalidArgument` for what no page of this listing gave. */
export function placeIn(listing: readonly unknown[], cursor: string): string {
  const [, mark, encoded] = (typeof cursor === 'string' && /^([0-9a-f]{8})~(.*)$/.exec(cursor)) || []
  const place = encoded === undefined ? undefined : decoded(encoded)
  if (place !== undefined && mark === markOf(listing, place)) return place
  throw new InvalidArgument('cursor', 'is none that a page of this query gave; begin without one')
}

/** Of the place too: what was cut short or changed on its way is none. */
function markOf(listing: readonly unknown[], place: string): string {
  return derivedId(['page', ...listing, place]).slice(0, 8)
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}
