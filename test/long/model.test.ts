/** The models of the DynamoDB storage's two hard protocols, in as many schedules as chance needs to find what is rare. */
import { expect, test } from 'vitest'
import { modelAppends } from '../../src/storage/dynamodb/fixtures/append-model.ts'
import { modelSequencing } from '../../src/storage/dynamodb/fixtures/sequence-model.ts'
import { seed, times } from './share.ts'

test.each([
  { name: 'claim and append', model: modelAppends, schedules: times(60_000) },
  { name: 'sequencing', model: modelSequencing, schedules: times(40_000) },
])('$name: no gap, no duplicate, no order broken in $schedules schedules', async ({ model, schedules }) => {
  let held = 0
  // One that finds something tells its own seed: the models take it as it is.
  for (; held < schedules; held++) await model(seed + held)
  expect(held).toBe(schedules)
})
