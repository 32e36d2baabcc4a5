/** The client's archive and backups: moved and taken by the server, in the places that it was started with. */
import type { Archive, ArchivePlan, ArchiveReport, ArchiveVerification, SegmentsPage } from '../../core/archive.ts'
import { checkObject } from '../../core/argument.ts'
import type { Backup } from '../../core/backup.ts'
import type { Backups } from '../../core/backups.ts'
import { checkStreamType } from '../../core/name.ts'
import { parameters } from '../parameters.ts'
import type { Requester } from '../request.ts'
import { work } from '../working.ts'

export function archiveOver(requester: Requester): Archive {
  return {
    async plan(options = {}) {
      checkObject(options, 'options')
      const { streamTypes, signal } = options
      const asked = { body: { streamTypes }, signal }
      return (await work<{ plans: readonly ArchivePlan[] }>(requester, '/archive/plan', asked)).plans
    },
    async run(options = {}) {
      checkObject(options, 'options')
      const { streamTypes, signal, onProgress } = options
      const asked = {
        ...{ body: { streamTypes }, signal },
        onProgress: (progress: unknown) => onProgress?.(progress as ArchiveReport),
      }
      return (await work<{ reports: readonly ArchiveReport[] }>(requester, '/archive/run', asked)).reports
    },
    async segments(options) {
      checkObject(options, 'options')
      const { streamType, cursor, limit } = options
      checkStreamType(streamType, 'streamType')
      const query = parameters({ cursor, limit })
      return requester.ask<SegmentsPage>('GET', `/archive/${streamType}/segments`, { query })
    },
    async verify(options = {}) {
      checkObject(options, 'options')
      return work<ArchiveVerification>(requester, '/archive/verify', { body: undefined, signal: options.signal })
    },
  }
}

export function backupsOver(requester: Requester): Backups {
  return {
    async take(options = {}) {
      checkObject(options, 'options')
      const { signal, onProgress } = options
      return work<Backup>(requester, '/backups', {
        ...{ body: undefined, signal },
        onProgress: (progress) => onProgress?.(progress as { position: number; head: number }),
      })
    },
    list: async () => (await requester.ask<{ backups: readonly Backup[] }>('GET', '/backups')).backups,
  }
}
