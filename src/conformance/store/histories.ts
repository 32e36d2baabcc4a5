/** What many clients saw, and when, must be explained by one order of it all. */
import { checkClients } from '../clients.ts'
import { cases, range } from '../kit.ts'
import type { OpenStore } from './kit.ts'

export const histories = (open: OpenStore) =>
  cases(open, {
    'What many clients on several handles append and read has one order in each stream, which real time agrees with':
      async (open) => {
        const stores = [await open(), await open(), await open()]
        const streams = ['seat/1', 'seat/2', 'seat/3']
        const clients = range(1, 9).map((client) => `client ${client}`)
        await checkClients({ stores, clients, streams, operations: 40, random: Math.random })
      },
  })
