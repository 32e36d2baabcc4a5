/** The client's projections: looked at and steered on the server, whose process runs them. */
import { checkObject } from '../../core/argument.ts'
import type { Replayed } from '../../core/label.ts'
import type { BuildProgress, ProjectionStatus } from '../../core/projection-status.ts'
import type { ParkedViews, Projections, ReplayedViews } from '../../core/projections.ts'
import type { ReplayReport, Replays } from '../../core/replay.ts'
import { nameOf, type ViewOf } from '../../core/view-of.ts'
import { instantText, parameters, segment } from '../parameters.ts'
import type { Requester } from '../request.ts'
import { work } from '../working.ts'
import { refuseHandlers, refuseRunnerOptions } from './handlers.ts'

export function projectionsOver(requester: Requester): Projections & Replays {
  const { ask } = requester
  const status = (name: string) => ask<ProjectionStatus>('GET', pathOf(name))
  const instead = 'open the store on its storage, with its projections; daybook serve does so'

  return {
    list: async () => (await ask<{ projections: readonly ProjectionStatus[] }>('GET', '/projections')).projections,
    status,
    start: refuseHandlers('projections.start', instead),
    run: refuseHandlers('projections.run', instead),
    async pause(name) {
      await ask('POST', `${pathOf(name)}/pause`)
    },
    async resume(name) {
      await ask('POST', `${pathOf(name)}/resume`)
    },
    async rebuild(name, options = {}) {
      checkObject(options, 'options')
      refuseRunnerOptions(options)
      const { version, key, switch: turn, onProgress, signal } = options
      let begun = false
      return work<ProjectionStatus>(requester, `${pathOf(name)}/rebuild`, {
        body: { version, key, switch: turn },
        signal,
        onProgress(progress) {
          begun = true
          onProgress?.(progress as BuildProgress)
        },
        // What was seen to be built, and is not any more, would else be built once more.
        async known() {
          if (!begun) return undefined
          const now = await status(name)
          const built = now.versions.find((one) => one.version === (version ?? newest(now)))
          const turned = turn === 'by-hand' || now.reads === built?.version
          return now.building === undefined && built?.whole && turned ? now : undefined
        },
      })
    },
    async switch(name, options = {}) {
      checkObject(options, 'options')
      const { version } = options
      return ask('POST', `${pathOf(name)}/switch`, { body: { version } })
    },
    async rollBack(name) {
      // Named, so that a repeat does not go there and back.
      const { before } = await status(name)
      return ask('POST', `${pathOf(name)}/roll-back`, { body: { to: before } })
    },
    async drop(name, options = {}) {
      checkObject(options, 'options')
      // Named, so that a repeat does not drop the next one.
      const version = options.version ?? oldest(await status(name))
      await ask('DELETE', `${pathOf(name)}/versions/${version}`, {
        isDone: ({ code, path }: Error & { code?: string; path?: string }) =>
          code === 'projection-not-found' || (code === 'invalid-argument' && path === 'version'),
      })
    },
    async parked(name, options = {}) {
      checkObject(options, 'options')
      const { version, cursor, limit } = options
      return ask<ParkedViews>('GET', `${pathOf(name)}/parked`, { query: parameters({ version, cursor, limit }) })
    },
    async replayParked(name, options = {}) {
      checkObject(options, 'options')
      const { version, key } = options
      return work<ReplayedViews>(requester, `${pathOf(name)}/replay-parked`, { body: { version, key } })
    },
    async replay(view, options) {
      checkObject(options, 'options')
      const { id, as, onProgress, signal } = options
      const body = { id, at: instantText(options.at, 'at'), from: instantText(options.from, 'from'), as }
      return work<ReplayReport>(requester, `${pathOf(view)}/replay`, {
        ...{ body, signal, onProgress: (progress) => onProgress?.(progress as { position: number; of: number }) },
        // Put back once more, it would be without what has come since.
        once: as === undefined && (options.at ?? options.from) !== undefined,
        async known() {
          if (as === undefined) return undefined
          const { replays } = await ask<{ replays: readonly Replayed[] }>('GET', `${pathOf(view)}/replays`)
          const done = replays.find((one) => one.label === as && one.state === 'done' && isOf(one, body))
          return done && { view: `${done.name}~${as}`, views: done.views }
        },
      })
    },
    replays: async (view) => (await ask<{ replays: readonly Replayed[] }>('GET', `${pathOf(view)}/replays`)).replays,
    async dropReplay(view, label) {
      await ask('DELETE', `${pathOf(view)}/replays/${segment(label, 'label')}`, {
        isDone: ({ path }: Error & { path?: string }) => path === 'label',
      })
    },
  }
}

function pathOf(view: ViewOf<object>): string {
  return `/projections/${segment(nameOf(view), 'name')}`
}

function newest({ versions }: ProjectionStatus): number {
  return Math.max(...versions.map(({ version }) => version))
}

function oldest({ versions }: ProjectionStatus): number {
  return Math.min(...versions.map(({ version }) => version))
}

function isOf(
  replayed: Replayed,
  asked: { readonly [Name in 'id' | 'at' | 'from']: Replayed[Name] | undefined },
): boolean {
  return (['id', 'at', 'from'] as const).every((name) => replayed[name] === asked[name])
}
