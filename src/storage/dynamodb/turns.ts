/** Turns of sequencers that have met: rivals are safe but waste requests, so they go one after the other for a while. */
import { sleep } from '../../core/turn.ts'
import { put, type Table } from './driver.ts'
import { type TurnItem, turnKey } from './items.ts'

export interface Turns {
  /** Runs in a turn of its own where a rival was met lately, else at once. */
  take<Result>(run: () => Promise<Result>): Promise<Result>
  /** A rival was met. */
  met(): void
}

/** For how long rivals take turns once they have met, and how long one turn may last without a sign of life. */
const contendedMs = 5_000
const turnMs = 2_000
const turnPollMs = 10

export function createTurns(table: Table): Turns {
  const me = crypto.randomUUID()
  let contendedUntil = 0
  return {
    async take(run) {
      const turn = performance.now() < contendedUntil ? await takeTurn(table, me) : undefined
      return run().finally(() => turn?.release())
    },
    met() {
      contendedUntil = performance.now() + contendedMs
    },
  }
}

interface Turn {
  release(): Promise<void>
}

/** Waits for its turn; one whose holder shows no sign of life for a whole term, on the taker's own clock, is taken over. */
async function takeTurn(table: Table, me: string): Promise<Turn> {
  let seen: number | undefined
  let since = performance.now()
  for (;;) {
    const item = (await table.get(turnKey)) as TurnItem | undefined
    const beat = item?.beat ?? 0
    if (beat !== seen) {
      seen = beat
      since = performance.now()
    }
    const free = item === undefined || item.by === '' || performance.now() - since > turnMs
    const guard = item ? ({ is: 'equal', attribute: 'beat', value: beat } as const) : ({ is: 'absent' } as const)
    const turn = (by: string, beat: number): TurnItem => ({ ...turnKey, by, beat })
    if (free && (await table.write(put(turn(me, beat + 1), guard))).written) {
      return {
        async release() {
          // Where it cannot be given back, it runs out.
          const mine = { is: 'equal', attribute: 'beat', value: beat + 1 } as const
          await table.write(put(turn('', beat + 2), mine)).catch(() => {})
        },
      }
    }
    await sleep(turnPollMs * (1 + Math.random()))
  }
}
