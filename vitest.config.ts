import { defineConfig } from 'vitest/config'

export default defineConfig({
  resolve: { conditions: ['daybook-source'] },
  ssr: { resolve: { conditions: ['daybook-source'] } },
  test: {
    // The DynamoDB that tests start wants credentials, and does not look at them.
    env: { AWS_ACCESS_KEY_ID: 'tester', AWS_SECRET_ACCESS_KEY: 'tester' },
    globalSetup: ['test/engines/postgres.ts', 'test/engines/dynamodb.ts'],
    include: ['src/**/*.test.ts', 'test/*.test.ts', 'examples/**/*.test.ts'],
    // Much of the time is spent on waiting for engines, so that two at once pay even on two cores.
    maxWorkers: 2,
    maxConcurrency: 4,
    // Only against hanging: nothing here checks speed.
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
})
