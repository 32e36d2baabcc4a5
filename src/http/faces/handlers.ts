/** What a client refuses because functions cannot be sent: handlers run where the store is opened. */
import type { RunnerOptions } from '../../core/catch-up.ts'
import { Unsupported } from '../../core/errors.ts'

/** `instead` says what to do. */
export function refuseHandlers(ability: string, instead: string): () => never {
  return () => {
    throw new Unsupported(ability, `${ability} runs handlers, which cannot be sent to a server: ${instead}`)
  }
}

/** What it would tell a runner of this process. */
export function refuseRunnerOptions(options: RunnerOptions): void {
  const given = (['termMs', 'onTrouble', 'onCaughtUp'] as const).find((name) => options[name] !== undefined)
  if (given === undefined) return
  throw new Unsupported(given, `${given} is for a runner of this process, and the server runs this one: leave it out`)
}
