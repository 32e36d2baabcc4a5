/**
 * SQLite in the event loop against SQLite on a thread, with fsyncs that take 0, 1 and 5 ms more (strace delays them, so it
 * must be there): how many appends a second 32 callers get, and how long the event loop is stopped meanwhile.
 */
import { spawnSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { fileURLToPath } from 'node:url'
import { openStore } from 'daybook'
import { sqliteStorage } from 'daybook/sqlite'
import { median } from './measure.ts'
import { eventType, sampleData } from './sample.ts'

const script = fileURLToPath(import.meta.url)

interface Run {
  readonly rate: number
  readonly stoppedMs: number
}

export function thread(folder: string): void {
  if (spawnSync('strace', ['--version']).error) {
    console.log('\n(SQLite on a thread: left out, there is no strace on this machine)')
    return
  }
  console.log(
    '\n| 32 callers, fsync slower by | in the loop | loop stopped, p99 | on a thread | loop stopped, p99 |\n|---|---|---|---|---|',
  )
  for (const delayMs of [0, 1, 5]) {
    const runs = [false, true].map((threaded) => {
      const rounds = Array.from({ length: 3 }, () => measure(`${folder}/thread.db`, threaded, delayMs))
      return {
        rate: median(rounds.map(({ rate }) => rate)),
        stoppedMs: median(rounds.map(({ stoppedMs }) => stoppedMs)),
      }
    })
    const cells = runs.map(
      ({ rate, stoppedMs }) => `${Math.round(rate).toLocaleString('en')}/s | ${stoppedMs.toFixed(1)} ms`,
    )
    console.log(`| ${delayMs} ms | ${cells.join(' | ')} |`)
  }
}

function measure(file: string, threaded: boolean, delayMs: number): Run {
  for (const suffix of ['', '-wal', '-shm']) rmSync(file + suffix, { force: true })
  const inject = `inject=fsync,fdatasync:delay_exit=${delayMs * 1_000}`
  const strace = ['-f', '--seccomp-bpf', '-o', '/dev/null', '-e', 'trace=fsync,fdatasync', '-e', inject]
  const child = spawnSync('strace', [...strace, process.execPath, script, file, String(threaded)], { encoding: 'utf8' })
  if (child.status !== 0) throw new Error(child.stderr)
  return JSON.parse(child.stdout) as Run
}

if (process.argv[1] === script) {
  const [file = '', threaded] = process.argv.slice(2)
  const store = await openStore(await sqliteStorage({ file, thread: threaded === 'true' }))
  const each = 150
  const call = async (stream: number) => {
    for (let turn = 0; turn < each; turn++) {
      await store.append(`permit/${stream}`, [{ type: eventType, data: sampleData(turn) }])
    }
  }
  const callers = Array.from({ length: 32 }, (_, index) => index)
  await Promise.all(callers.map(call))
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  const started = performance.now()
  await Promise.all(callers.map(call))
  const seconds = (performance.now() - started) / 1_000
  delay.disable()
  console.log(
    JSON.stringify({ rate: (each * callers.length) / seconds, stoppedMs: delay.percentile(99) / 1e6 } satisfies Run),
  )
  await store.close()
}
