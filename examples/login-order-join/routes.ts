/** The routes, one row each: what a request holds, what it is answered, and the function between. */
import * as z from 'zod/mini'
import { NotThere } from '../web/refused.ts'
import { type Route, row } from '../web/route.ts'
import { userEvents, userStream } from './domain.ts'
import { ingest } from './ingest.ts'
import type { UserViews } from './views.ts'

const user = z.object({
  id: z.string(),
  name: z.string(),
  lastLogin: z.int().check(z.minimum(0), z.meta({ description: "The last login's timestamp; 0: none has come." })),
  recentOrderCount: z.int().check(z.minimum(0)),
  snapshotSequence: z.optional(
    z
      .int()
      .check(z.minimum(1), z.meta({ description: 'Up to which revision the snapshot reaches, once there is one.' })),
  ),
})
const count = z.int().check(z.minimum(0))

const example = [
  { id: 'e1', type: 'user-created', timestamp: 1_769_851_800_000, user: { id: 'ann', name: 'Ann' } },
  { id: 'e2', type: 'user-loggedIn', timestamp: 1_769_851_805_000, user: { id: 'ann' } },
  { id: 'e3', type: 'order-submitted', timestamp: 1_769_851_810_000, order: { userId: 'ann' } },
]

/** Each item is looked at on its own, so that an error names it; here is what the page shows of it. */
function eventsSchema(): z.ZodMiniType {
  const one = Object.values(userEvents).map((schema) => {
    const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: 'input' })
    return rest
  })
  return z.unknown().check(z.meta({ anyOf: [...one, { type: 'array', items: { anyOf: one } }] }))
}

export function routesOf({ users, settled }: UserViews): readonly Route[] {
  return [
    row({
      method: 'POST',
      path: '/events',
      operationId: 'ingest',
      tag: 'join',
      summary: 'Record events',
      description:
        'One, or an array. Each is recorded once, by its id, however often it comes. Types that are not known are dropped and counted; so are events of a user who was forgotten.',
      body: { schema: eventsSchema(), example },
      answer: {
        schema: z.object({ recorded: count, repeated: count, dropped: count }),
        example: { recorded: 3, repeated: 0, dropped: 0 },
      },
      refusal:
        'One of them is no event, and none is recorded; or an id came with other content before, and those before it stay.',
      handle: ({ store, body }) => ingest(store, body),
    }),
    row({
      method: 'GET',
      path: '/users/{id}',
      operationId: 'user',
      tag: 'join',
      summary: 'What has come of a user',
      description: 'As far as the view has come: a moment behind what is recorded.',
      answer: {
        schema: user,
        example: { id: 'ann', name: 'Ann', lastLogin: 1_769_851_805_000, recentOrderCount: 1, snapshotSequence: 3 },
      },
      refusal: 'The id can be none.',
      missing: 'Nothing has come of such a user.',
      async handle({ store, path: { id = '' } }) {
        const [view, { snapshots }] = await Promise.all([
          store.views.get(users, id),
          store.snapshots.list({ stream: userStream(id), decider: settled.name }),
        ])
        if (view === undefined) throw unknownUser(id)
        const [snapshot] = snapshots
        return {
          ...{ id, name: '**NOT SET**', lastLogin: 0, ...view },
          ...(snapshot && { snapshotSequence: snapshot.revision }),
        }
      },
    }),
  ]
}

export function unknownUser(id: string): NotThere {
  return new NotThere(`Nothing has come of a user ${id}`, { id })
}
