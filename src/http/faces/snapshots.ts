/** The client's snapshots: taken by deciders that the server's store was opened with. */
import { checkObject } from '../../core/argument.ts'
import { Unsupported } from '../../core/errors.ts'
import { checkStream, checkStreamType } from '../../core/name.ts'
import type { Snapshots, Snapshotting } from '../../core/snapshots.ts'
import { instantText, parameters } from '../parameters.ts'
import type { Requester } from '../request.ts'
import { work } from '../working.ts'

export function snapshotsOver(requester: Requester): Snapshots {
  const { ask } = requester
  return {
    async take(decider, stream) {
      checkStream(stream)
      return ask('POST', '/snapshots', { body: { decider: nameOf(decider), stream } })
    },
    async takeAll(decider, streamType, options = {}) {
      checkStreamType(streamType)
      checkObject(options, 'options')
      const { updatedAfter, signal } = options
      const body = { decider: nameOf(decider), streamType, updatedAfter: instantText(updatedAfter, 'updatedAfter') }
      return work(requester, '/snapshots/take-all', { body, ...(signal && { signal }) })
    },
    async list(options) {
      checkObject(options, 'options')
      const { stream, decider, cursor, limit } = options
      return ask('GET', '/snapshots', { query: parameters({ stream, decider, cursor, limit }) })
    },
    async drop(which) {
      checkObject(which, 'which')
      const { decider, version, stream } = which
      return ask('DELETE', '/snapshots', { query: parameters({ decider, version, stream }) })
    },
  }
}

function nameOf(decider: Snapshotting | string): string {
  if (typeof decider === 'string') return decider
  const told = "A decider's functions cannot be sent to a server: give the name of one that its store was opened with"
  throw new Unsupported('snapshots', told)
}
