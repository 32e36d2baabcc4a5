/** All figures, each side by side in one run. `npm run bench [-- name …]` runs those named. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { archive } from './archive.ts'
import { catchUp } from './catch-up.ts'
import { encryption } from './encryption.ts'
import { openEngine } from './engine.ts'
import { eventTypes } from './event-types.ts'
import { type Figure, figures } from './figures.ts'
import { http } from './http.ts'
import { join as loginOrderJoin } from './join.ts'
import { ledger } from './ledger.ts'
import { type Measured, median, ratio, sideBySide } from './measure.ts'
import { memory } from './memory.ts'
import { postgresConditions, postgresFigures } from './postgres.ts'
import { inlineOnPostgres, inlineOnSqlite } from './projections.ts'
import { snapshots } from './snapshots.ts'
import { thread } from './thread.ts'

const asked = process.argv.slice(2)
const rounds = Number(process.env['ROUNDS'] ?? 7)
const folder = mkdtempSync(join(tmpdir(), 'daybook-bench-'))

try {
  console.log(
    `Node ${process.version}, SQLite ${process.versions['sqlite']}; medians of ${rounds} rounds, ratios round by round\n`,
  )
  console.log('| figure | daybook | against | ratio | to reach |\n|---|---|---|---|---|')
  for (const figure of [...figures, ...inlineOnSqlite]) await run(figure)
  if (isAsked('postgres') || asked.some((part) => part.includes('projections'))) await postgres()
  if (isAsked('projections')) await catchUp(folder, rounds)
  if (isAsked('memory')) await memory(folder)
  if (isAsked('thread')) thread(folder)
  if (isAsked('snapshots')) await snapshots(folder, rounds)
  if (isAsked('archive')) await archive(folder, rounds)
  if (isAsked('encryption')) await encryption(folder, rounds)
  if (isAsked('ledger')) await ledger(folder, rounds)
  if (isAsked('event types')) await eventTypes(folder, rounds)
  if (isAsked('http')) await http(folder, rounds)
  if (isAsked('join')) await loginOrderJoin(folder)
} finally {
  rmSync(folder, { recursive: true, force: true })
}

async function run(figure: Figure): Promise<void> {
  if (!isAsked(figure.name)) return
  const { contenders, close } = await figure.open(join(folder, figure.name.replace(/\W+/g, '-')))
  try {
    const [mine, ...others] = await sideBySide(contenders, rounds)
    for (const other of others) print(figure.name, mine as Measured, other, figure.reach[other.name])
  } finally {
    await close()
  }
}

async function postgres(): Promise<void> {
  const engine = await openEngine()
  if (engine === undefined) return console.log('(postgres: left out, there is no DATABASE_URL and no server here)')
  try {
    for (const figure of [...postgresFigures(engine), ...inlineOnPostgres(engine)]) await run(figure)
    if (isAsked('postgres: condition')) await postgresConditions(engine, [10_000, 1_000_000], rounds)
  } finally {
    await engine.close()
  }
}

function isAsked(name: string): boolean {
  return asked.length === 0 || asked.some((part) => name.includes(part) || part.startsWith(`${name}:`))
}

function print(name: string, mine: Measured, other: Measured, reach: string | undefined): void {
  const rate = (measured: Measured) => `${Math.round(median(measured.rates)).toLocaleString('en')}/s`
  console.log(
    `| ${name} | ${rate(mine)} | ${other.name} ${rate(other)} | ${ratio(mine, other).toFixed(2)} | ${reach ?? ''} |`,
  )
}
