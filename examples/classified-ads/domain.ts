/** The domain: what an ad is, what is recorded of one, and what a command leads to. Pure: it knows no store and no HTTP. */
import type { Decider, EventOf, Recorded } from 'daybook'
import * as z from 'zod/mini'
import { keyReused, Refused } from '../web/refused.ts'

const text = z.string('must be a text')

const fields = {
  adTitle: text,
  adDescription: text,
  price: z.number('must be a number').check(z.minimum(0, 'must not be below 0')),
  currency: text,
  category: text,
  tags: z.array(text, 'must be a list of texts'),
}

/** What a publisher says of an ad; what is not named here is not kept. */
export const content = z.object(fields, 'must be an object')
export type Content = z.infer<typeof content>

export const changes = z
  .object(
    {
      adTitle: z.exactOptional(fields.adTitle),
      adDescription: z.exactOptional(fields.adDescription),
      price: z.exactOptional(fields.price),
      currency: z.exactOptional(fields.currency),
      category: z.exactOptional(fields.category),
      tags: z.exactOptional(fields.tags),
    },
    'must be an object',
  )
  .check(z.refine((given) => Object.keys(given).length > 0, 'must hold at least one field of an ad'))
export type Changes = z.infer<typeof changes>

export const ad = z.extend(content, { adId: z.string(), publisherId: z.string() })
export type Ad = z.infer<typeof ad>

/** Which ad, and whose. */
type Owned = Pick<Ad, 'adId' | 'publisherId'>

/** Created and updated hold the ad as it is from then on, so that each can be read without those before it. */
export type AdEvent = EventOf<{ AdCreated: Ad; AdUpdated: Ad; AdDeleted: Owned }>

/** All that remains of an ad that was erased. */
interface Erased {
  readonly type: '$forgotten'
  readonly data: null
}

export type AdCommand = Owned & {
  /** Of the event that follows: a command that comes again with it is done already. */
  readonly eventId: string
} & (
    | { readonly does: 'create'; readonly content: Content }
    | { readonly does: 'update'; readonly changes: Changes }
    | { readonly does: 'delete' }
  )

export interface AdState {
  /** Undefined before it was created, and after it was deleted. */
  readonly ad: Ad | undefined
  readonly newest: Past | undefined
}

/** All that was recorded of an ad, newest first. */
interface Past {
  readonly event: Recorded<AdEvent>
  readonly before: Past | undefined
}

export function adStream(adId: string): string {
  return `ad/${adId}`
}

export const ads: Decider<AdCommand, AdEvent | Erased, AdState> = {
  initialState: () => ({ ad: undefined, newest: undefined }),

  evolve({ newest }, event: Recorded<AdEvent | Erased>) {
    switch (event.type) {
      case 'AdCreated':
      case 'AdUpdated':
        return { ad: event.data, newest: { event, before: newest } }
      case 'AdDeleted':
        return { ad: undefined, newest: { event, before: newest } }
      case '$forgotten':
        return { ad: undefined, newest: undefined }
    }
  },

  decide(command, state) {
    const { does, adId, publisherId, eventId: id } = command
    const earlier = recordedBy(state, id)
    if (earlier && !isOf(earlier, command)) throw keyReused()
    if (earlier) return []
    const { ad } = state
    if (does === 'create') {
      if (state.newest) throw new Refused(`There is an ad ${adId} already`)
      return [{ type: 'AdCreated', id, data: { ...command.content, adId, publisherId } }]
    }
    if (!ad) throw unknownAd(adId)
    if (ad.publisherId !== publisherId) {
      throw new Refused(`Publisher ${publisherId} does not own ad ${adId}`, { publisherId, adId })
    }
    if (does === 'update') return [{ type: 'AdUpdated', id, data: { ...ad, ...command.changes } }]
    return [{ type: 'AdDeleted', id, data: { adId, publisherId } }]
  },
}

/** What the command with this id has led to. */
export function recordedBy({ newest }: AdState, eventId: string): Recorded<AdEvent> | undefined {
  for (let past = newest; past; past = past.before) if (past.event.id === eventId) return past.event
  return undefined
}

/** Whether an event is what the command asks for. */
function isOf({ type, data }: AdEvent, command: AdCommand): boolean {
  const recorded: Readonly<Record<string, unknown>> = data
  const holds = (fields: Changes) =>
    Object.entries(fields).every(([name, value]) => JSON.stringify(recorded[name]) === JSON.stringify(value))
  switch (command.does) {
    case 'create':
      return type === 'AdCreated' && holds(command.content)
    case 'update':
      return type === 'AdUpdated' && holds(command.changes)
    case 'delete':
      return type === 'AdDeleted'
  }
}

export function unknownAd(adId: string): Refused {
  return new Refused(`Ad ${adId} is not there`, { adId })
}
