import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** Files that take longest, which begin first, so that no core is idle at the end. */
const long = [
  'conformance-dynamodb',
  'conformance-postgres',
  'conformance',
  'client',
  'processes',
  'journey',
  'histories',
]

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification) => {
      const place = long.findIndex((name) => moduleId.endsWith(`/test/${name}.test.ts`))
      return place < 0 ? long.length : place
    }
    return (await super.sort(files)).toSorted((one, other) => rank(one) - rank(other))
  }
}

export default defineConfig({
  resolve: { conditions: ['daybook-source'] },
  ssr: { resolve: { conditions: ['daybook-source'] } },
  test: {
    // The DynamoDB that tests start wants credentials, and does not look at them.
    env: { AWS_ACCESS_KEY_ID: 'tester', AWS_SECRET_ACCESS_KEY: 'tester' },
    setupFiles: process.env['CI'] ? ['test/seed.ts'] : [],
    globalSetup: ['test/engines/postgres.ts', 'test/engines/dynamodb.ts'],
    include: ['src/**/*.test.ts', 'test/*.test.ts', 'examples/**/*.test.ts'],
    // Much of the time is spent on waiting for engines, so that three at once pay even on two cores.
    sequence: { sequencer: LongestFirst },
    maxWorkers: 3,
    maxConcurrency: 4,
    // Only against hanging: nothing here checks speed.
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
})
