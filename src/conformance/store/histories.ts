/** What many clients saw, and when, must be explained by one order of it all. */
import assert from 'node:assert/strict'
import { createRecorder, readToTheEnd, runClients } from '../clients.ts'
import { contradictionIn } from '../history.ts'
import { cases, range } from '../kit.ts'
import type { OpenStore } from './kit.ts'

export const histories = (open: OpenStore) =>
  cases(open, {
    'What many clients on several handles append and read has one order in each stream, which real time agrees with':
      async (open) => {
        const stores = [await open(), await open(), await open()]
        const streams = ['seat/1', 'seat/2', 'seat/3']
        const clients = range(1, 9).map((client) => `client ${client}`)
        const recorder = createRecorder()
        await runClients({ stores, recorder, clients, streams, operations: 40, random: Math.random })
        await readToTheEnd(stores[0] ?? assert.fail(), streams, recorder)
        assert.equal(contradictionIn(recorder.history())?.message, undefined)
      },
  })
