/** The domain: what is told of a user, and what it makes of the user, one event after the other. Pure: it knows no store and no HTTP. */
import type { EventOf } from 'daybook'
import * as z from 'zod/mini'

const instantMost = 253_402_300_799_999
const text = (most: number) =>
  z.string('must be a text').check(
    z.minLength(1, 'must not be empty'),
    z.maxLength(most, `must have at most ${most} characters`),
    z.refine((value) => value.isWellFormed(), 'is no Unicode text: it holds half of a surrogate pair'),
  )
/** It names the user's stream. */
const userId = text(200).check(
  z.refine(
    (value) => !/[/\p{Cc}]|^\.\.?$/u.test(value),
    'must hold no "/" and no control characters, and be neither "." nor ".."',
  ),
)
const group = <Shape extends z.core.$ZodShape>(shape: Shape) => z.looseObject(shape, 'must be an object')
const told = <Type extends string, Shape extends z.core.$ZodShape>(type: Type, shape: Shape) =>
  group({
    id: text(200),
    type: z.literal(type),
    timestamp: z
      .int('must be a whole number of milliseconds since 1970')
      .check(z.minimum(0, 'must be 0 or more'), z.maximum(instantMost, 'must be of a year before 10000')),
    ...shape,
  })

/** By type. `timestamp` is the producer's clock; what is not named here is kept as it is. */
export const userEvents = {
  'user-created': told('user-created', { user: group({ id: userId, name: z.string('must be a text') }) }),
  'user-loggedIn': told('user-loggedIn', { user: group({ id: userId }) }),
  'order-submitted': told('order-submitted', { order: group({ userId }) }),
}

type Bodies = { [Type in keyof typeof userEvents]: z.infer<(typeof userEvents)[Type]> }
export type UserEventBody = Bodies[keyof Bodies]
/** The whole body is the event's data. */
export type UserEvent = EventOf<Bodies>

export function userOf(body: UserEventBody): string {
  return body.type === 'order-submitted' ? body.order.userId : body.user.id
}

export function userStream(id: string): string {
  return `user/${id}`
}

/** What has come so far; any part may come first, or never. */
export interface User {
  readonly name?: string
  /** The timestamp of the last login. */
  readonly lastLogin?: number
  readonly recentOrderCount: number
}

const nobody: User = { recentOrderCount: 0 }

/** In the order of the events' own time. */
export const join = {
  'user-created': (user: User = nobody, { data }: { readonly data: Bodies['user-created'] }): User => ({
    ...user,
    name: data.user.name,
  }),
  'user-loggedIn': (user: User = nobody, { data }: { readonly data: Bodies['user-loggedIn'] }): User => ({
    ...user,
    lastLogin: data.timestamp,
  }),
  'order-submitted': (user: User = nobody): User => ({ ...user, recentOrderCount: user.recentOrderCount + 1 }),
}
