/** The store over HTTP keeps the contract of the store also where the server's storage takes its time. */
import { describe, test } from 'vitest'
import { storeConformance } from '../../src/conformance/index.ts'
import { missingDynamo } from '../engines/dynamodb.ts'
import { overHttp, steadily } from '../engines/over-http.ts'
import { dynamodb } from '../engines/storages.ts'
import { share } from './share.ts'

const missing = missingDynamo()
describe.skipIf(missing !== undefined)(`the client of a server on DynamoDB${missing ? ` (${missing})` : ''}`, () => {
  const all = storeConformance(overHttp(dynamodb(), steadily))
  // A part of the run is held to a part of the contract.
  const every = Math.max(1, Math.round(1 / share))
  for (const { promise, run } of all.filter((_, index) => index % every === 0)) test.concurrent(promise, run)
})
