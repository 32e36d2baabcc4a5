/** The client's consumers: looked at and steered on the server. They run where the store is opened. */
import { checkObject } from '../../core/argument.ts'
import type { ConsumerStatus } from '../../core/consumer.ts'
import type { Consumers } from '../../core/consumers.ts'
import { isStoreError } from '../../core/errors.ts'
import { parameters, segment } from '../parameters.ts'
import type { Requester } from '../request.ts'
import { refuseHandlers } from './handlers.ts'

const instead = 'open the store on its storage to run them, or follow the log with subscribe()'

export function consumersOver({ ask }: Requester): Consumers {
  const run = refuseHandlers('consumers.run', instead)
  return {
    run: async () => run(),
    consume: refuseHandlers('consumers.consume', instead),
    list: async () => (await ask<{ consumers: readonly ConsumerStatus[] }>('GET', '/consumers')).consumers,
    async status(name) {
      return ask('GET', pathOf(name))
    },
    async parked(name, options = {}) {
      checkObject(options, 'options')
      const { cursor, limit } = options
      return ask('GET', `${pathOf(name)}/parked`, { query: parameters({ cursor, limit }) })
    },
    async replayParked(name, stream) {
      return (await ask<{ asked: number }>('POST', `${pathOf(name)}/replay-parked`, { body: { stream } })).asked
    },
    async pause(name) {
      await ask('POST', `${pathOf(name)}/pause`)
    },
    async resume(name) {
      await ask('POST', `${pathOf(name)}/resume`)
    },
    async reset(name, from) {
      await ask('POST', `${pathOf(name)}/reset`, { body: { from } })
    },
    async remove(name) {
      await ask('DELETE', pathOf(name), { isDone: (failure) => isStoreError(failure, 'consumer-not-found') })
    },
  }
}

function pathOf(name: string): string {
  return `/consumers/${segment(name, 'name')}`
}
