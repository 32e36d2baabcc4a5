/**
 * A server process among several on one log: `postgres-writer.ts <url> <number>`. A number on its input is how often each
 * of its 32 callers appends to a stream of its own; it answers when all are done.
 */
import { createInterface } from 'node:readline'
import { openStore } from 'daybook'
import { postgresStorage } from 'daybook/postgres'
import { eventType, sampleData } from './sample.ts'

const [url = '', number] = process.argv.slice(2)
const store = await openStore(await postgresStorage({ url }))
const callers = Array.from({ length: 32 }, (_, index) => `permit/writer-${number}-${index}`)
console.log('ready')
for await (const line of createInterface({ input: process.stdin })) {
  await Promise.all(
    callers.map(async (stream) => {
      for (let turn = 0; turn < Number(line); turn++) {
        await store.append(stream, [{ type: eventType, data: sampleData(turn) }])
      }
    }),
  )
  console.log('done')
}
await store.close()
