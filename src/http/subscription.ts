/**
 * The client's subscription: one feed of server-sent events after the other, each begun where the last one ended. A
 * feed that breaks, ends or falls silent costs delay, never an entry.
 */
import { createParser, type EventSourceMessage } from 'eventsource-parser'
import { isStoreError } from '../core/errors.ts'
import type { AnyEvent, LogEntry } from '../core/event.ts'
import { backOff, checkMark, type LogEntries, type Mark, type SubscribeOptions } from '../core/feed.ts'
import { limits } from '../core/limits.ts'
import type { PageRange } from '../core/read.ts'
import { ServerUnreachable } from '../core/request-errors.ts'
import { errorOfProblem, mayHeal, type Parameters, type Requester } from './request.ts'

export async function* subscriptionPages<Event extends AnyEvent>(
  requester: Requester,
  query: Parameters,
  options: SubscribeOptions,
  signal: AbortSignal,
): AsyncGenerator<readonly LogEntry<Event>[]> {
  let after = options.after ?? 0
  let caughtUpAt = -1
  let failures = 0
  let mark: Mark | undefined
  const look = async ({ after, until }: PageRange) => {
    const range = { after: String(after), 'until-position': String(until), limit: '1' }
    const page = await requester.ask<LogEntries>('GET', '/log', { query: [...query, ...Object.entries(range)], signal })
    // Forgotten meanwhile, it does not pass a filter of what it was.
    const unseen = mark !== undefined && page.entries.length === 0 && (options.types || options.tags)
    return { head: page.head, found: unseen && mark ? [mark] : page.entries }
  }
  while (!signal.aborted) {
    try {
      // Behind another connection may be another server, or one that has lost what this one had read.
      if (mark !== undefined) await checkMark(mark, look)
      for await (const { event, data } of messages(requester, [...query, ['after', String(after)]], signal)) {
        failures = 0
        const value = JSON.parse(data)
        if (event === 'problem') {
          const error = errorOfProblem(value, value.requestId)
          // A token that has run out meanwhile: the next connection asks for another.
          if (isStoreError(error, 'unauthenticated')) break
          throw error
        }
        if (event === undefined) {
          yield [value as LogEntry<Event>]
          after = value.position
          mark = value as LogEntry
        } else if (event === 'caught-up') {
          after = value.position
          if (after !== caughtUpAt) options.onCaughtUp?.(after)
          caughtUpAt = after
        }
      }
      if (!signal.aborted) throw new ServerUnreachable(requester.url, new Error('the feed ended'))
    } catch (error) {
      if (signal.aborted) return
      failures++
      if (!mayHeal(error)) throw error
      await backOff(error, failures, options, signal)
    }
  }
}

/** What one connection brings, until it ends. Throws where it breaks, or is silent for longer than a server ever is. */
async function* messages(
  requester: Requester,
  query: Parameters,
  signal: AbortSignal,
): AsyncGenerator<EventSourceMessage> {
  const ended = new AbortController()
  const silent = () => ended.abort(new Error(`nothing came for ${limits.sseSilenceMs} ms`))
  let timer = setTimeout(silent, limits.sseSilenceMs)
  const came: EventSourceMessage[] = []
  const parser = createParser({ onEvent: (message) => came.push(message) })
  const decoder = new TextDecoder()
  try {
    const headers = { accept: 'text/event-stream' }
    const ending = AbortSignal.any([signal, ended.signal])
    const response = await requester.begin('GET', '/log', { query, headers, signal: ending })
    // Not every browser can iterate a body.
    const reader = response.body?.getReader()
    for (let part = await reader?.read(); part && !part.done; part = await reader?.read()) {
      clearTimeout(timer)
      timer = setTimeout(silent, limits.sseSilenceMs)
      parser.feed(decoder.decode(part.value, { stream: true }))
      yield* came.splice(0)
    }
  } catch (error) {
    if (isStoreError(error)) throw error
    throw new ServerUnreachable(requester.url, ended.signal.aborted ? ended.signal.reason : error)
  } finally {
    clearTimeout(timer)
    ended.abort()
  }
}
