/**
 * Giving a version up: its views are erased, and then nothing tells that there was one. Whoever does it holds the lease on the
 * version's checkpoint, so that nobody who builds it anew meanwhile begins before the last of it is erased.
 */
import { errorOf } from './append.ts'
import type { Background } from './background.ts'
import { changeState, noVersion, stateOf, withState } from './build.ts'
import type { VersionName } from './checkpoint.ts'
import {
  type Checkpoint,
  checkpointChange,
  checkpointKey,
  checkpointOf,
  checkpointPlace,
  readCheckpoint,
} from './checkpoint.ts'
import { eraseViews } from './erase-views.ts'
import { InvalidArgument, StoreBusy } from './errors.ts'
import { type Lease, takeLease } from './lease.ts'
import { limits } from './limits.ts'
import type { ShapeFacts } from './projection.ts'
import { type ProjectionState, stateWrites, type VersionStatus } from './projection-state.ts'
import type { DocumentWrite } from './storage.ts'
import { formatInstant } from './time.ts'
import { backoffMs, sleep } from './turn.ts'

type Tools = Pick<Background, 'storage' | 'queue' | 'making' | 'clock'>

/** Throws where it is read, unless it is the only one; `StoreBusy` where another process drops it too. */
export async function dropVersion(tools: Tools, name: string, version: number): Promise<void> {
  const of = { name, version }
  const facts = await retire(tools, of)
  const lease = await hold(tools, of)
  if (lease === undefined) return
  try {
    await eraseViews(tools.storage, { ...of, facts }, lease.lost)
    await remove(tools, of, lease)
  } catch (error) {
    throw lease.lost.aborted ? busy(of) : error
  } finally {
    lease.end()
  }
}

/** Nobody reads or keeps it any more, and whoever runs it writes nothing more. */
async function retire(tools: Tools, of: VersionName): Promise<ShapeFacts> {
  const { name, version } = of
  let retired: VersionStatus | undefined
  await changeState(tools, name, async (now) => {
    retired = now.versions.find((one) => one.version === version)
    if (retired === undefined) throw noVersion(name, version)
    if (now.reads === version && now.versions.some((one) => one.version !== version && one.state !== 'retired')) {
      throw new InvalidArgument(
        'version',
        `version ${version} of projection "${name}" is read: switch to another first`,
      )
    }
    const { reads, before, ...rest } = withState(now, version, 'retired')
    const kept = { ...(reads !== version && { reads }), ...(before !== version && { before }) }
    const given = await checkpointChange(tools.storage, of, ({ held: _, ...body }) => {
      return { ...body, epoch: body.epoch + 1, paused: true }
    })
    return { state: { ...rest, ...kept } as ProjectionState, with: given.writes }
  })
  return (retired as VersionStatus).facts
}

/** Nothing where somebody has begun to build it anew, or has dropped it, by now. */
async function hold({ storage, queue, making, clock }: Tools, of: VersionName): Promise<Lease<Checkpoint> | undefined> {
  for (let tries = 1; tries <= limits.foldTries; tries++) {
    const document = await readCheckpoint(storage, of)
    const body = document && checkpointOf(document)
    if (!body?.paused) return undefined
    if (body.held) break
    const held = { owner: making.newId(), since: formatInstant(clock()), termMs: limits.leaseMs, beat: 0 }
    const next = { body: { ...body, held }, previous: document }
    const lease = await takeLease<Checkpoint>({ storage, queue, newId: making.newId }, checkpointPlace(of), next)
    if (lease) return lease
  }
  throw busy(of)
}

async function remove(tools: Tools, of: VersionName, lease: Lease<Checkpoint>): Promise<void> {
  const { queue, making } = tools
  for (let tries = 1; ; tries++) {
    // Somebody builds it anew: it is empty, and his.
    if (!lease.body.paused) {
      await lease.write({ body: ({ held: _, ...body }) => body })
      return
    }
    const stored = await stateOf(tools, of.name)
    const versions = stored.state.versions.filter(({ version }) => version !== of.version)
    const documents: DocumentWrite[] = [
      ...stateWrites({ ...stored.state, versions }, stored),
      { kind: 'delete', key: checkpointKey(of), if: lease.check.if },
    ]
    const outcome = await queue.add({ id: making.newId(), appends: [], documents })
    if (outcome.outcome === 'committed') return
    if (outcome.outcome !== 'document-conflict' || tries >= limits.foldTries) throw errorOf(outcome)
    await lease.look()
    if (lease.lost.aborted) throw busy(of)
    await sleep(backoffMs(tries, limits.foldBackoffMs, limits.foldBackoffMsMax))
  }
}

function busy({ name, version }: VersionName): StoreBusy {
  return new StoreBusy(`Another process drops version ${version} of projection "${name}"`, limits.workPollMs)
}
