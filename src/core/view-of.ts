/** Which view is meant: a projection's definition, or its name. */
import { InvalidArgument } from './errors.ts'

/** A projection's definition, which knows the type of its views, or its name. */
export type ViewOf<View extends object> = string | Defines<View>

/** As much of a `Projection` as tells the type of its views. */
export interface Defines<View extends object> {
  readonly name: string
  readonly on: Readonly<Record<string, ((view: never, event: never) => View | undefined) | undefined>>
}

export function nameOf(view: ViewOf<object>): string {
  const name = typeof view === 'string' ? view : view?.name
  if (typeof name === 'string' && name !== '') return name
  throw new InvalidArgument('view', 'must be a projection, or the name of one')
}
