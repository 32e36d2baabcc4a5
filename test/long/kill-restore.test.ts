/** Restores are killed at random moments: no store shows a part of its log, and each comes to its end when it is given again. */
import { expect, test } from 'vitest'
import { breakRestores } from '../breaking-restores.ts'
import { chance, seed, times } from './share.ts'

test(`restores that are killed ${times(100)} times end whole (LONG_SEED=${seed})`, async () => {
  const random = chance(seed)
  let unfinished = 0
  // Of many kills a tenth finds a restore at work; where the machine is so busy that few do, there are more of them.
  const enough = Math.floor(times(100) / 10)
  for (let kills = 0; kills < times(100) || (unfinished < enough && kills < 10 * times(100)); kills += 4) {
    unfinished += await breakRestores(4, random)
  }
  expect(unfinished).toBeGreaterThanOrEqual(enough)
})
