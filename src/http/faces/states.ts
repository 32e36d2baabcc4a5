/** The client's state snapshots: taken and restored by the server, in the place that it was started with. */
import { checkObject } from '../../core/argument.ts'
import type { StateSnapshot } from '../../core/state-snapshot.ts'
import type { States, StatesProgress, StatesRestored } from '../../core/states.ts'
import type { Requester } from '../request.ts'
import { work } from '../working.ts'

export function statesOver(requester: Requester): States {
  return {
    async take(options = {}) {
      checkObject(options, 'options')
      const { projections, signal, onProgress } = options
      return work<StateSnapshot>(requester, '/states', {
        ...{ body: { projections }, signal },
        onProgress: (progress) => onProgress?.(progress as { projection: string; views: number }),
      })
    },
    list: async () => (await requester.ask<{ states: readonly StateSnapshot[] }>('GET', '/states')).states,
    async prune(options) {
      checkObject(options, 'options')
      return requester.ask('POST', '/states/prune', { body: { keep: options.keep } })
    },
    async restore(options = {}) {
      checkObject(options, 'options')
      const { number, projections, signal, onProgress } = options
      return work<StatesRestored>(requester, '/states/restore', {
        ...{ body: { number, projections }, signal },
        onProgress: (progress) => onProgress?.(progress as StatesProgress),
      })
    },
  }
}
