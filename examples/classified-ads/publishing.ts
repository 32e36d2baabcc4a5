/** What publishers do with their ads: create, update, delete. */
import { derivedId, isStoreError, type Recorded, type Store } from 'daybook'
import { type Asked, row } from '../web/route.ts'
import { type AdCommand, type AdEvent, adStream, ads, type Content, changes, content, recordedBy } from './domain.ts'
import { row as adRow, nothing, rowOf } from './history.ts'

export const example: Content = {
  adTitle: 'Road bicycle, 56 cm',
  adDescription: 'Steel frame, new chain and tyres, ridden for two summers',
  price: 340,
  currency: 'EUR',
  category: 'bicycles',
  tags: ['steel', 'road'],
}
export const adId = 'k3x9q0m2z'
export const exampleRow = { adId, publisherId: 'acme', ...example, version: 0, timestamp: '2026-01-31T09:30:00.000Z' }

/** Gives an id of 122 random bits or more, as a UUID. */
export type Draw = () => string

export function publishingRoutes(draw: Draw) {
  const path = '/publisher/{publisher}/ad/{adId}'
  const answer = (example: object, text: string) => ({ schema: adRow, example, text })
  return [
    row({
      method: 'POST',
      path: '/publisher/{publisher}/ad',
      operationId: 'createAd',
      tag: 'ads',
      summary: 'Create an ad',
      description: 'All six fields are needed. The id of the new ad is the fourth word of the text, and in `Location`.',
      body: { schema: content, example },
      idempotent: true,
      answer: answer(exampleRow, `The new ad ${adId} is published`),
      refusal: 'The request is no ad, or its key came with another one already.',
      async handle(asked) {
        const publisherId = asked.path['publisher'] ?? ''
        const event = await create(asked, { publisherId, content: asked.body }, draw)
        const { adId } = event.data
        asked.answerHeaders.set('Location', `/publisher/${encodeURIComponent(publisherId)}/ad/${adId}`)
        return told(asked, event, `The new ad ${adId} is published`)
      },
    }),
    row({
      method: 'PATCH',
      path,
      operationId: 'updateAd',
      tag: 'ads',
      summary: 'Update an ad',
      description:
        'What the request does not name stays. Of updates at the same time each is done, one after the other.',
      body: { schema: changes, example: { price: 310 } },
      idempotent: true,
      answer: answer({ ...exampleRow, price: 310, version: 1 }, `Ad ${adId} is updated`),
      refusal: 'There is no such ad, it is of another publisher, or the request names no field.',
      async handle(asked) {
        const event = await change(asked, { does: 'update', changes: asked.body, ...commanded(asked) })
        return told(asked, event, `Ad ${event.data.adId} is updated`)
      },
    }),
    row({
      method: 'DELETE',
      path,
      operationId: 'deleteAd',
      tag: 'ads',
      summary: 'Delete an ad',
      description: 'It is listed and found no more. What was recorded of it stays, and can be read as its versions.',
      idempotent: true,
      answer: answer({ ...exampleRow, ...nothing, version: 1, deleted: true }, `Ad ${adId} is deleted`),
      refusal: 'There is no such ad, or it is of another publisher.',
      async handle(asked) {
        const event = await change(asked, { does: 'delete', ...commanded(asked) })
        return told(asked, event, `Ad ${event.data.adId} is deleted`)
      },
    }),
  ]
}

function commanded({ path: { publisher = '', adId = '' }, request }: Asked) {
  return { publisherId: publisher, adId, eventId: request ?? crypto.randomUUID() }
}

/** JSON for whoever asks for it by name; a sentence for all others. */
function told({ headers }: Asked, event: Recorded<AdEvent>, sentence: string): object | string {
  const accepted = (headers.get('Accept') ?? '').split(',').map((type) => type.split(';')[0]?.trim().toLowerCase())
  return accepted.includes('application/json') ? rowOf(event) : sentence
}

/** How many ids are drawn, where each was drawn before. */
const draws = 10

/** Appended as new, so that no two ads ever have one id; by its request, so that it is made once however often it comes. */
async function create(
  { store, request }: Asked,
  { publisherId, content }: { readonly publisherId: string; readonly content: Content },
  draw: Draw,
): Promise<Recorded<AdEvent>> {
  for (let drawn = 1; ; drawn++) {
    const adId = adIdOf(request === undefined ? draw() : derivedId([request, drawn]))
    const eventId = request ?? crypto.randomUUID()
    try {
      return await record(store, { does: 'create', adId, publisherId, content, eventId }, { expected: 0 })
    } catch (error) {
      const isTaken = isStoreError(error, 'revision-conflict')
      // With a key, it may be this request's own that was erased since.
      const wasTaken = request === undefined && isStoreError(error, 'stream-forgotten')
      if (drawn >= draws || !(isTaken || wasTaken)) throw error
    }
  }
}

/** Nine characters of base 36. */
export function adIdOf(uuid: string): string {
  return BigInt(`0x${uuid.replaceAll('-', '')}`)
    .toString(36)
    .slice(-9)
}

/** How often `execute` is asked, each of which decides anew up to ten times where others write to the same ad. */
const turns = 10

async function change({ store }: Asked, command: AdCommand): Promise<Recorded<AdEvent>> {
  for (let turn = 1; ; turn++) {
    try {
      return await record(store, command)
    } catch (error) {
      const isLost = isStoreError(error, 'revision-conflict') || isStoreError(error, 'store-busy')
      if (turn >= turns || !isLost) throw error
    }
  }
}

/** What the command leads to, or has led to when it came before. */
async function record(
  store: Store,
  command: AdCommand,
  options: { readonly expected?: number } = {},
): Promise<Recorded<AdEvent>> {
  const { state } = await store.execute(ads, adStream(command.adId), command, options)
  const event = recordedBy(state, command.eventId)
  if (event) return event
  throw new Error(`Command ${command.eventId} left nothing behind`)
}
