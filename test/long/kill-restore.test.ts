/** Restores are killed at random moments: no store shows a part of its log, and each comes to its end when it is given again. */
import { expect, test } from 'vitest'
import { breakRestores } from '../breaking-restores.ts'
import { chance, seed, times } from './share.ts'

test(`restores that are killed ${times(100)} times end whole (LONG_SEED=${seed})`, async () => {
  const random = chance(seed)
  let unfinished = 0
  for (let left = times(100); left > 0; left -= 4) unfinished += await breakRestores(4, random)
  // Most kills find a restore at work.
  expect(unfinished).toBeGreaterThan(times(100) / 10)
})
