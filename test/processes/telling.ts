/** Processes that tell, a line of JSON each, what was acknowledged to them, until they are done or killed. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'

export interface Telling<Told> {
  readonly process: ChildProcess
  /** Resolves when it has told something, or has ended. */
  readonly begun: Promise<unknown>
  /** How much it has told until now. */
  told(): number
  /** What it has told, once it ended; throws where it failed and was not killed. */
  readonly done: Promise<readonly Told[]>
}

/** `script`: beside this file. `wrapper`: a command that starts the process. */
export function startTelling<Told>(script: string, options: object, wrapper: readonly string[] = []): Telling<Told> {
  const file = fileURLToPath(new URL(script, import.meta.url))
  const node = [process.execPath, '--disable-warning=ExperimentalWarning', file]
  const [command = '', ...args] = [...wrapper, ...node, JSON.stringify(options)]
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  const errors = text(child.stderr)
  let output = ''
  let told = 0
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    output += chunk
    told += chunk.split('\n').length - 1
  })
  const begun = Promise.race([once(child.stdout, 'data'), once(child, 'close')])
  const done = (async () => {
    const [code, signal] = (await once(child, 'close')) as [number | null, string | null]
    if (code !== 0 && signal !== 'SIGKILL') throw new Error(`${script} ended with ${code ?? signal}: ${await errors}`)
    // The last line may be cut off where it was killed.
    const lines = output.split('\n').slice(0, -1)
    return lines.map((line) => JSON.parse(line) as Told)
  })()
  return { process: child, begun, told: () => told, done }
}
