/** Peak memory of whole commands over a log of 1,000,000 events, and over one of 10,000 to compare with: it must be flat. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { openStore } from 'daybook'
import { sqliteStorage } from 'daybook/sqlite'
import { eventType, sampleData } from './sample.ts'

const main = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url))
/** Those that the command's first line gives it. */
export const flags =
  readFileSync(new URL('../bin/daybook.js', import.meta.url), 'utf8')
    .split('\n')[0]
    ?.split(' ')
    .slice(3) ?? []
const told = `data:text/javascript,process.on('exit',()=>process.stderr.write('maxRSS '+process.resourceUsage().maxRSS))`

export async function memory(folder: string): Promise<void> {
  console.log('\n| peak memory (RSS) | at 10,000 events | at 1,000,000 | to reach |\n|---|---|---|---|')
  const files = [await fill(`${folder}/small.db`, 10_000), await fill(`${folder}/large.db`, 1_000_000)]
  for (const args of [['export'], ['follow', '--once', '--json']]) {
    const [small, large] = [await peak(args, files[0] ?? ''), await peak(args, files[1] ?? '')]
    console.log(`| daybook ${args.join(' ')} | ${small} MB | ${large} MB | ≤ 150 MB |`)
  }
}

export async function fill(file: string, events: number): Promise<string> {
  await using store = await openStore(await sqliteStorage({ file }))
  for (let written = 0; written < events; written += 1_000) {
    const batch = (stream: number) =>
      Array.from({ length: 100 }, (_, index) => ({ type: eventType, data: sampleData(stream + index) }))
    await Promise.all(
      Array.from({ length: 10 }, (_, index) =>
        store.append(`permit/case-${(written / 100 + index) % 10_000}`, batch(written)),
      ),
    )
  }
  return file
}

/** Megabytes. */
async function peak(args: readonly string[], file: string): Promise<number> {
  const command = [...flags, '--import', told, main, ...args, '--store', `sqlite:${file}`]
  const child = spawn(process.execPath, command, { stdio: ['ignore', 'pipe', 'pipe'] })
  child.stdout.resume()
  let errors = ''
  child.stderr.on('data', (chunk) => {
    errors += chunk
  })
  await once(child, 'close')
  return Math.round(Number(/maxRSS (\d+)/.exec(errors)?.[1]) / 1_024)
}
