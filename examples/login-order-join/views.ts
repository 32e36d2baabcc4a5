/** What the events become. Folded by the events' own time, so that each lateness makes views of its own. */
import { projection } from 'daybook'
import { join, type User, type UserEvent } from './domain.ts'

export type UserViews = ReturnType<typeof viewsOf>

export function viewsOf({ latenessMs }: { readonly latenessMs: number }) {
  const fold = { streamTypes: ['user'], latenessMs, on: join }
  return {
    /** By the users' ids, made behind the writers' backs. */
    users: projection<UserEvent, User>()({ name: `users-${latenessMs}ms`, lifecycle: 'async', ...fold }),
    /** The same fold; its snapshots say what of a user's events need not be read any more. */
    settled: projection<UserEvent, User>()({
      name: `settled-users-${latenessMs}ms`,
      lifecycle: 'live',
      snapshot: {},
      ...fold,
    }),
  }
}
