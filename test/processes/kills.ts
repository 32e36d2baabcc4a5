/** Killing at random moments: writers in processes of their own, or the server that they write to. */
import { expect } from 'vitest'
import { range } from '../../src/conformance/kit.ts'
import { until } from '../../src/conformance/store/kit.ts'
import type { Storage } from '../../src/core/storage.ts'
import { openStore } from '../../src/core/store.ts'
import { openStorage } from '../../src/open.ts'
import { dynamoSequencer, parseDynamoUrl } from '../../src/storage/dynamodb/storage.ts'
import type { Acknowledged } from './writer.ts'
import { checkFile, startWriter } from './writers.ts'

/** Kills on one log: the checks read all of it. */
export const killsOfOneLog = 10

/** Writers that only a signal ends. */
export const endless = { callers: 4, plain: 4, count: 1_000_000 }

export interface Kills {
  readonly kills: number
  readonly random: () => number
  /** Where the next log is. */
  next(): Promise<string>
  /** Resolves when nobody writes there any more, and whatever was written has a position. */
  quiet(url: string): Promise<void>
}

/** Whatever the writers had acknowledged is there once. */
export async function killWriters({ kills, random, next, quiet }: Kills): Promise<void> {
  let acknowledged: Acknowledged[] = []
  let url = ''
  let total = 0
  for (let round = 0; round < kills; round++) {
    if (round % killsOfOneLog === 0) {
      url = await next()
      acknowledged = []
    }
    const writers = [1, 2].map((writer) => startWriter({ url, writer: `${round}-${writer}`, ...endless }))
    // Sometimes while they open the store, mostly in the middle of commits, sometimes around a checkpoint.
    if (round === 0 || random() < 0.8) await Promise.all(writers.map(({ begun }) => begun))
    await pause(random() * 600)
    for (const { process } of writers) process.kill('SIGKILL')
    const before = acknowledged.length
    for (const { done } of writers) acknowledged.push(...(await done))
    total += acknowledged.length - before
    await quiet(url)
    const storage = await openStorage(url)
    await checkFile(storage, acknowledged)
    await storage.close()
  }
  expect(total).toBeGreaterThan(kills)
}

/** The writers and a subscriber here find their way back each time; nothing is lost or doubled. */
export async function killServer({
  kills,
  random,
  next,
  quiet,
  open,
  kill,
}: Kills & {
  /** For the subscriber. */
  open(url: string): Promise<Storage>
  /** Kills it and starts it again. */
  kill(): Promise<void>
}): Promise<void> {
  for (let done = 0; done < kills; done += killsOfOneLog) {
    const url = await next()
    const storage = await open(url)
    const store = await openStore({ ...storage, close: async () => {} })
    const ended = new AbortController()
    const seen: (number | undefined)[] = []
    const following = (async () => {
      const options = { signal: ended.signal, onTrouble() {} }
      for await (const { position } of store.subscribe(options)) seen.push(position)
    })()
    const writers = ['1', '2'].map((writer) => startWriter({ url, writer, ...endless }))
    const goOn = async () => {
      const counts = () => [seen.length, ...writers.map(({ told }) => told())]
      const before = counts()
      for (let tries = 0; counts().some((count, index) => count <= (before[index] ?? 0)); tries++) {
        if (tries === 2_400) throw new Error('after a minute not all have found their way back')
        await pause(25)
      }
    }
    for (let count = done; count < Math.min(done + killsOfOneLog, kills); count++) {
      await goOn()
      await pause(random() * 400)
      await kill()
    }
    await goOn()
    for (const { process } of writers) process.kill('SIGKILL')
    const acknowledged: Acknowledged[] = []
    for (const { done } of writers) acknowledged.push(...(await done))
    await quiet(url)
    const { head } = await store.info()
    await until(() => seen.length >= head)
    expect(seen).toEqual(range(1, head))
    expect(acknowledged.length).toBeGreaterThan(killsOfOneLog)
    await checkFile(storage, acknowledged)
    ended.abort()
    await following
    await store.close()
    await storage.close()
  }
}

/** As an operator would, until it finds nothing more: what was asked for at the moment of a kill may still be done. */
export async function sweep(url: string): Promise<void> {
  const sequencer = await dynamoSequencer(parseDynamoUrl(url))
  while ((await sequencer.sweep()).positioned > 0);
  await sequencer.close()
}

export function pause(ms: number): Promise<unknown> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
