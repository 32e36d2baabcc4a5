import { defineConfig } from 'vitest/config'

/** Kills, races and large logs: seeded, bounded, and too long for every day. LONG_SHARE=0.1 does a tenth of each. */
export default defineConfig({
  resolve: { conditions: ['daybook-source'] },
  ssr: { resolve: { conditions: ['daybook-source'] } },
  test: {
    // The DynamoDB that tests start wants credentials, and does not look at them.
    env: { AWS_ACCESS_KEY_ID: 'tester', AWS_SECRET_ACCESS_KEY: 'tester' },
    globalSetup: ['test/engines/postgres.ts', 'test/engines/dynamodb.ts'],
    include: ['test/long/*.test.ts'],
    // One at a time, for some measure memory.
    fileParallelism: false,
    testTimeout: 3_600_000,
  },
})
