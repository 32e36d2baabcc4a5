/**
 * Checkpoints: what the write-ahead log holds goes into the file when nobody writes, and in any case before the log grows
 * past its bound. SQLite's own checkpoints would fall into the middle of commits.
 */
import { statSync } from 'node:fs'
import type { Session } from './session.ts'

/** Above this the log is worked off at once, and begun anew. */
export const walBytesMost = 67_108_864
const idleMs = 250
/** Looking at the size costs about as much as a row, so it is not done for every commit. */
const commitsBetweenLooks = 16

export interface Checkpoints {
  committed(): void
  stop(): void
}

export function createCheckpoints(session: () => Session): Checkpoints {
  let commits = 0
  let atLastTick = 0
  let timer: NodeJS.Timeout | undefined

  function tick(): void {
    timer = undefined
    const idle = commits === atLastTick
    atLastTick = commits
    if (idle) checkpoint(session(), 'checkpointPassive')
    else arm()
  }

  function arm(): void {
    timer ??= setTimeout(tick, idleMs).unref()
  }

  return {
    committed() {
      commits++
      arm()
      if (commits % commitsBetweenLooks === 0 && walBytes(session().file) > walBytesMost) {
        checkpoint(session(), 'checkpointRestart')
      }
    },
    stop() {
      clearTimeout(timer)
    },
  }
}

export function walBytes(file: string): number {
  return statSync(`${file}-wal`, { throwIfNoEntry: false })?.size ?? 0
}

/** Others may be reading or writing; then the next time will do. */
function checkpoint({ sql }: Session, how: 'checkpointPassive' | 'checkpointRestart'): void {
  try {
    sql[how].get()
  } catch {
    // A failing disk shows at the next commit, whose caller can be told.
  }
}
