/**
 * A process of clients that append and read at random: `node clients.ts '{"url":…,"clients":…,"streams":…,"operations":…,"seed":…}'`.
 * What they call and what comes back is on the standard output at once, so that it is known of whoever is killed.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { type ClientsOptions, runClients } from '../../src/conformance/clients.ts'
import type { Operation } from '../../src/conformance/history.ts'
import { isStoreError } from '../../src/core/errors.ts'
import type { Store } from '../../src/core/store.ts'
import { open } from '../../src/open.ts'
import { chance } from '../long/share.ts'

export interface ProcessOptions extends Pick<ClientsOptions, 'clients' | 'streams' | 'operations'> {
  readonly url: string
  readonly seed: number
}

export interface ClientsProcess {
  readonly process: ChildProcess
  /** Resolves when something was called, or the process ended. */
  readonly began: Promise<unknown>
  /** What its clients have recorded, once it ended; throws where it failed and was not killed. */
  readonly done: Promise<readonly Operation[]>
}

/** One clock for all processes of a machine. */
export function machineTime(): number {
  // As a double it may lose nanoseconds, but it never turns an order round.
  return Number(process.hrtime.bigint())
}

export function startClients(options: ProcessOptions): ClientsProcess {
  const args = ['--disable-warning=ExperimentalWarning', fileURLToPath(import.meta.url), JSON.stringify(options)]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (part) => {
    output += part
  })
  const [began, closed, errors] = [once(child.stdout, 'data'), once(child, 'close'), text(child.stderr)]
  const done = (async () => {
    const [code, signal] = (await closed) as [number | null, string | null]
    if (code !== 0 && signal !== 'SIGKILL') throw new Error(`the clients ended with ${code ?? signal}: ${await errors}`)
    // The last line may be cut off where it was killed.
    const lines = output.split('\n').slice(0, -1)
    return lines.map((line) => JSON.parse(line) as Operation)
  })()
  return { process: child, began: Promise.race([began, closed]), done }
}

/** Where connections are broken all the time, so are some with which a store is opened. */
export async function openAmidFaults(url: string): Promise<Store> {
  for (let tries = 1; ; tries++) {
    try {
      return await open(url)
    } catch (error) {
      if (tries === 50 || !(isStoreError(error, 'storage-failed') || isStoreError(error, 'store-busy'))) throw error
    }
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { url, seed, ...options } = JSON.parse(process.argv[2] ?? '') as ProcessOptions
  const record = (operation: Operation) => writeSync(1, `${JSON.stringify(operation)}\n`)
  const stores = [await openAmidFaults(url), await openAmidFaults(url)]
  await runClients({ ...options, stores, recorder: { now: machineTime, record }, random: chance(seed) })
  for (const store of stores) await store.close()
}
