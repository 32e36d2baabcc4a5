/** While their engine fails again and again, what many clients append and read has one order in each stream. */
import { describe, test } from 'vitest'
import { checkEngine, faultyEngines, missingEngine } from './engines/faulty.ts'

for (const [name, make] of Object.entries(faultyEngines)) {
  const missing = missingEngine(name)
  describe.skipIf(missing !== undefined)(`${name}${missing ? ` (${missing})` : ''}`, () => {
    test('clients agree on one order in each stream while the engine fails', async () => {
      const engine = await make(Math.random)
      await checkEngine(engine, { rounds: 2, clients: 8, operations: 40, random: Math.random })
      await engine.close()
    })
  })
}
