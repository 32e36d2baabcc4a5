/** The store's consumers: running them, looking at them, mending them. What they are is in `consumer.ts`. */
import { errorOf } from './append.ts'
import { checkFunctions } from './argument.ts'
import { type Background, checkWritable } from './background.ts'
import {
  type ConsumerBody,
  type ConsumerOptions,
  type ConsumerSettings,
  type ConsumerStatus,
  type Consuming,
  checkConsumerName,
  checkSame,
  checkStart,
  consumerBodyOf,
  consumerKey,
  consumers,
  type EventHandler,
  parkedFor,
  putConsumer,
  type StartAt,
  settingsOf,
  statusOf,
} from './consumer.ts'
import { type Consumer, startConsumer } from './consumer-run.ts'
import { type Delivery, deliveries } from './delivery.ts'
import { deleteDocument, indexQuery } from './document.ts'
import { ForeignLog, PositionBeyondHead } from './errors.ts'
import type { AnyEvent } from './event.ts'
import { limits } from './limits.ts'
import { checkStream } from './name.ts'
import { allParked, askReplay, dropParked, type ParkedPage, type ParkedPageOptions, parkedPage } from './parked.ts'
import type { Document, DocumentWrite } from './storage.ts'
import { formatInstant } from './time.ts'
import { createBell } from './wake.ts'
import { ConsumerNotFound } from './work-errors.ts'

export interface Consumers {
  /**
   * Runs a consumer in this process, once no other has it. Makes it where the name is new. Throws `DefinitionClash` where it
   * is stored with another filter, `ForeignLog` or `PositionBeyondHead` where it has read what this log does not hold.
   */
  run<Event extends AnyEvent = AnyEvent>(
    options: ConsumerOptions & { readonly handler: EventHandler<Event> },
  ): Promise<Consumer>
  /** The same as a loop, in which each delivery is to be answered. Leaving it stops the consumer in this process. */
  consume<Event extends AnyEvent = AnyEvent>(options: ConsumerOptions): AsyncIterable<Delivery<Event>>
  /** All of them, by name. */
  list(): Promise<readonly ConsumerStatus[]>
  /** Throws `ConsumerNotFound`, as all that follow do. */
  status(name: string): Promise<ConsumerStatus>
  /** Streams that wait with an event that could not be handled, by its position. */
  parked(name: string, options?: ParkedPageOptions): Promise<ParkedPage>
  /**
   * Asks for one parked stream, or all of them, to be handled again from the first event that is not; whoever runs the
   * consumer sees to it. Says how many there are.
   */
  replayParked(name: string, stream?: string): Promise<number>
  /** Nobody works on it until it is resumed; what was begun is finished. */
  pause(name: string): Promise<void>
  resume(name: string): Promise<void>
  /** Everything behind this place is delivered anew, and nothing is parked any more. */
  reset(name: string, from: StartAt): Promise<void>
  /** With all that is known of it; those who run it end. */
  remove(name: string): Promise<void>
}

export function createConsumers(background: Background): Consumers {
  const { storage, queue, making, clock } = background
  const asked = createBell()
  const list = { storage, queue, newId: making.newId }

  async function find(name: string): Promise<Document> {
    checkConsumerName(name)
    const [document] = await storage.getDocuments([consumerKey(name)])
    if (document === undefined) throw new ConsumerNotFound(name)
    return document
  }

  async function commit(documents: readonly DocumentWrite[]): Promise<boolean> {
    const outcome = await queue.add({ id: making.newId(), appends: [], documents })
    if (outcome.outcome === 'committed') return true
    if (outcome.outcome === 'document-conflict') return false
    throw errorOf(outcome)
  }

  /** Until nobody comes between; gives the body of before. */
  async function change(name: string, next: (body: ConsumerBody) => ConsumerBody): Promise<ConsumerBody> {
    checkWritable(background)
    for (;;) {
      const document = await find(name)
      const body = consumerBodyOf(document)
      if (await commit(putConsumer(next(body), { is: 'version', version: document.version }))) {
        asked.ring()
        return body
      }
    }
  }

  async function endOfLog(): Promise<{ readonly logId: string; readonly head: number }> {
    return storage.readLog({ after: 0, direction: 'backwards', limit: 1 })
  }

  async function positionAt(from: StartAt): Promise<{ readonly logId: string; readonly position: number }> {
    const { logId, head } = await endOfLog()
    const position = from === 'start' ? 0 : from === 'now' ? head : from
    if (position > head) throw new PositionBeyondHead({ position, head })
    return { logId, position }
  }

  /** Made where it is new, and fit to be run by these settings. */
  async function ensure(settings: ConsumerSettings): Promise<void> {
    checkWritable(background)
    const { name, filter, from } = settings
    for (;;) {
      const [document] = await storage.getDocuments([consumerKey(name)])
      if (document) {
        const body = consumerBodyOf(document)
        checkSame(body, settings)
        const { logId, head } = await endOfLog()
        if (body.logId !== logId) throw new ForeignLog({ logId: body.logId, actual: logId })
        const position = body.checkpoint.scanned
        if (position > head) throw new PositionBeyondHead({ position, head })
        return
      }
      const { logId, position } = await positionAt(from)
      const body: ConsumerBody = {
        ...{ type: 'consumer', name, epoch: making.newId(), filter, logId },
        checkpoint: { scanned: position, open: [] },
        ...{ parked: 0, replays: 0, replayed: 0, seenAt: formatInstant(clock()) },
      }
      if (await commit(putConsumer(body, { is: 'absent' }))) return
    }
  }

  async function start(options: ConsumerOptions, part: Pick<Consuming, 'handler' | 'recorded'>): Promise<Consumer> {
    const settings = settingsOf(options)
    checkFunctions(part, 'options', ['handler'])
    if (options.onTrouble !== undefined) checkFunctions(options, 'options', ['onTrouble'])
    await ensure(settings)
    const { onTrouble } = options
    const consuming: Consuming = { ...settings, ...part, ...(onTrouble && { onTrouble }) }
    const status = () => statusNow(settings.name)
    return startConsumer(background, consuming, { asked, signal: options.signal, status })
  }

  async function countParked(body: ConsumerBody): Promise<number> {
    if (body.parked === 0) return 0
    let count = 0
    for await (const _ of allParked(storage, parkedFor(body))) count++
    return count
  }

  async function statusNow(name: string): Promise<ConsumerStatus> {
    const body = consumerBodyOf(await find(name))
    return statusOf(body, { head: (await endOfLog()).head, parked: await countParked(body) })
  }

  return {
    run: (options) => start(options, { handler: options.handler as EventHandler }),
    consume: <Event extends AnyEvent>(options: ConsumerOptions) => {
      settingsOf(options)
      checkWritable(background)
      return deliveries<Event>((part) => start(options, part))
    },
    async list() {
      const { head } = await endOfLog()
      const query = indexQuery(consumers, { index: 'name', equals: ['consumer'], limit: limits.consumers })
      const bodies = (await storage.queryDocuments(query)).documents.map(consumerBodyOf)
      return Promise.all(bodies.map(async (body) => statusOf(body, { head, parked: await countParked(body) })))
    },
    status: statusNow,
    async parked(name, options = {}) {
      const body = consumerBodyOf(await find(name))
      const { parked, next } = await parkedPage(storage, parkedFor(body), options)
      return { parked, ...(next !== undefined && { next }) }
    },
    async replayParked(name, stream) {
      checkWritable(background)
      if (stream !== undefined) checkStream(stream)
      const count = await askReplay(list, parkedFor(consumerBodyOf(await find(name))), stream)
      if (count > 0) await change(name, (body) => ({ ...body, replays: body.replays + 1 }))
      return count
    },
    async pause(name) {
      await change(name, (body) => ({ ...body, paused: true }))
    },
    async resume(name) {
      await change(name, (body) => ({ ...body, paused: undefined }))
    },
    async reset(name, from) {
      checkStart(from)
      checkWritable(background)
      const { logId, position } = await positionAt(from)
      const before = await change(name, ({ type, filter, paused }) => ({
        ...{ type, name, epoch: making.newId(), filter, logId, paused },
        checkpoint: { scanned: position, open: [] },
        ...{ parked: 0, replays: 0, replayed: 0, seenAt: formatInstant(clock()) },
      }))
      await dropParked(list, parkedFor(before))
    },
    async remove(name) {
      checkWritable(background)
      for (;;) {
        const document = await find(name)
        const guard = { is: 'version', version: document.version } as const
        if (!(await commit(deleteDocument(consumers, { key: name, if: guard })))) continue
        asked.ring()
        return dropParked(list, parkedFor(consumerBodyOf(document)))
      }
    },
  }
}
