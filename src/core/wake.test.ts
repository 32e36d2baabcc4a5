import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { limits } from './limits.ts'
import { createBell } from './wake.ts'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
})
afterEach(() => {
  vi.useRealTimers()
})

/** So many listeners of one bell, and how often each was woken. */
async function listen(listeners: number) {
  const bell = createBell()
  const ended = new AbortController()
  const woken: number[] = Array(listeners).fill(0)
  const all = Promise.all(
    woken.map(async (_, index) => {
      for await (const _ of bell.listen(ended.signal)) woken[index] = (woken[index] ?? 0) + 1
    }),
  )
  await settle()
  return {
    bell,
    each: async () => {
      await settle()
      return [...new Set(woken)]
    },
    async end() {
      ended.abort()
      await all
    },
  }
}

/** Lets all run that is ready to. */
const settle = () => new Promise((resolve) => setImmediate(resolve))

test('a few listeners are woken at once, ring by ring', async () => {
  const { bell, each, end } = await listen(3)
  expect(await each()).toEqual([1])
  for (const rings of [2, 3, 4]) {
    bell.ring()
    expect(await each()).toEqual([rings])
  }
  await end()
})

test('for a thousand listeners rings are gathered, and the last of them is not lost', async () => {
  const { bell, each, end } = await listen(1_000)
  bell.ring()
  expect(await each()).toEqual([2])
  for (let ring = 0; ring < 50; ring++) bell.ring()
  expect(await each()).toEqual([2])
  vi.advanceTimersByTime(limits.wakeGapMs)
  expect(await each()).toEqual([3])
  vi.advanceTimersByTime(10 * limits.wakeGapMs)
  expect(await each()).toEqual([3])
  bell.ring()
  expect(await each()).toEqual([4])
  await end()
})
