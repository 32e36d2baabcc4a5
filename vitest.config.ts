import { defineConfig } from 'vitest/config'

export default defineConfig({
  resolve: { conditions: ['daybook-source'] },
  ssr: { resolve: { conditions: ['daybook-source'] } },
  test: {
    globalSetup: ['test/engines/postgres.ts', 'test/engines/dynamodb.ts'],
    include: ['src/**/*.test.ts', 'test/*.test.ts'],
    // Only against hanging: nothing here checks speed.
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
})
