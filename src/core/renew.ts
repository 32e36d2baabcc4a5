/** What was made of a stream that reads otherwise by now, because a subject of its events was forgotten. */
import { limits } from './limits.ts'
import { asyncVersions } from './projection-state.ts'
import { type Forgets, foldViewsAnew } from './refold.ts'
import type { Snapshots } from './snapshots.ts'

/** Inline views are folded anew, snapshots dropped. Gives the versions that somebody has to rebuild: `name@version`. */
export async function renewed(
  forgets: Forgets,
  snapshots: Pick<Snapshots, 'list' | 'drop'>,
  stream: string,
): Promise<readonly string[]> {
  await foldViewsAnew(forgets, stream)
  await dropSnapshots(snapshots, stream)
  return asyncVersions(await forgets.states.refreshed(), stream)
}

/** All of a stream, by whichever decider. */
async function dropSnapshots({ list, drop }: Pick<Snapshots, 'list' | 'drop'>, stream: string): Promise<void> {
  let cursor: string | undefined
  do {
    const page = await list({ stream, limit: limits.pageRecords, ...(cursor !== undefined && { cursor }) })
    for (const { decider, version } of page.snapshots) await drop({ decider, version, stream })
    cursor = page.next
  } while (cursor !== undefined)
}
