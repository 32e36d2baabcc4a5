/** What README and docs show is run as it stands: programs with what they print, commands, limits, words for scripts. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, test } from 'vitest'
import { limits } from '../src/core/limits.ts'

const root = fileURLToPath(new URL('../', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'daybook-docs-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

interface Block {
  readonly language: string
  readonly code: string
}

const pages = [
  'README.md',
  'CONTRIBUTING.md',
  ...readdirSync(join(root, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
]
const textOf = (page: string) => readFileSync(join(root, page), 'utf8')
const blocksOf = (page: string): readonly Block[] =>
  [...textOf(page).matchAll(/^```(.*)\n([\s\S]*?)^```$/gm)].map(([, language = '', code = '']) => ({ language, code }))

/** A folder as a user has it, with the package and its commands at hand. */
function userFolder(page: string): string {
  const place = join(folder, page.replaceAll(/\W/g, '-'))
  mkdirSync(join(place, 'node_modules/.bin'), { recursive: true })
  for (const name of ['better-sqlite3', 'zod']) {
    symlinkSync(join(root, 'node_modules', name), join(place, 'node_modules', name))
  }
  symlinkSync(root, join(place, 'node_modules/daybook'))
  symlinkSync(join(root, 'bin/daybook.js'), join(place, 'node_modules/.bin/daybook'))
  symlinkSync(process.execPath, join(place, 'node_modules/.bin/node'))
  cpSync(join(root, 'docs/library.ndjson'), join(place, 'docs/library.ndjson'))
  writeFileSync(join(place, 'package.json'), '{ "type": "module", "private": true }')
  return place
}

function start(place: string, command: string, args: readonly string[]) {
  const PATH = `${join(place, 'node_modules/.bin')}:${process.env['PATH']}`
  return spawn(command, args, { cwd: place, env: { ...process.env, PATH }, stdio: ['ignore', 'pipe', 'pipe'] })
}

async function run(place: string, command: string, args: readonly string[]) {
  const child = start(place, command, args)
  const [output, errors] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')])
  return { code: child.exitCode, output, errors }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  return typeof address === 'object' && address ? address.port : 0
}

const missing = ['sh', 'curl'].filter((program) => spawnSync(program, ['--help']).error !== undefined)
const reason = missing.length > 0 ? ` (there is no ${missing.join(' and no ')} on this machine)` : ''

function runnable(name: string, body: () => Promise<void>): void {
  const held = missing.length === 0 || process.env['CI'] ? test : test.skip
  held(`${name}${reason}`, body)
}

/** `npx daybook` is the same command by a longer way, which signals do not get through. */
const direct = (code: string, port: number) =>
  code.replaceAll('npx daybook', 'daybook').replaceAll('8080', String(port))

const shows = (page: string) => blocksOf(page).some(({ language }) => language === 'ts' || language === 'sh')

describe.each(pages.filter(shows))('%s', async (page) => {
  const blocks = blocksOf(page)
  const place = userFolder(page)
  const port = await freePort()
  const servers: ChildProcess[] = []

  afterAll(async () => {
    for (const server of servers) {
      server.kill('SIGTERM')
      await once(server, 'exit')
    }
  })

  for (const [index, { language, code }] of blocks.entries()) {
    const name = `block ${index + 1}: ${code.split('\n').find((line) => line !== '' && !line.startsWith('import'))}`
    if (language === 'ts') {
      test(name, async () => {
        writeFileSync(join(place, `block-${index}.ts`), code)
        const flags = ['--disable-warning=ExperimentalWarning', '--conditions=daybook-source']
        const { code: exit, output, errors } = await run(place, process.execPath, [...flags, `block-${index}.ts`])
        expect([exit, errors]).toEqual([0, ''])
        const next = blocks[index + 1]
        if (next?.language === 'text') expect(output).toBe(next.code)
      })
    } else if (language === 'sh server') {
      runnable(name, async () => {
        const server = start(place, 'sh', ['-c', `exec ${direct(code, port)}`])
        servers.push(server)
        const [line] = (await once(server.stdout, 'data')) as [Buffer]
        expect(JSON.parse(line.toString()).msg).toBe('listening')
      })
    } else if (language === 'sh') {
      runnable(name, async () => {
        const { code: exit, output, errors } = await run(place, 'sh', ['-e', '-c', direct(code, port)])
        expect([exit, errors.replaceAll(/^\d+ events? exported; .*\n/gm, '')], output).toEqual([0, ''])
        expect(output).not.toContain('urn:daybook:problem')
      })
    }
  }
})

test('every block is of a kind that a test holds', () => {
  const known = ['ts', 'sh', 'sh server', 'text', 'sh setup', 'text formulas', 'text rooms']
  for (const page of pages) for (const { language } of blocksOf(page)) expect(known, page).toContain(language)
})

test('the commands that set up are scripts of the package', () => {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const lines = pages.flatMap((page) =>
    blocksOf(page)
      .filter(({ language }) => language === 'sh setup')
      .flatMap(({ code }) => code.trim().split('\n')),
  )
  expect(new Set(lines)).toEqual(new Set(['npm ci && npm start', 'npm ci && npm test']))
  for (const line of lines) expect(Object.keys(scripts)).toContain(line.split(' ').at(-1))
  const contributing = textOf('CONTRIBUTING.md')
  for (const [, script = ''] of contributing.matchAll(/`npm run ([\w:]+)/g)) {
    expect(Object.keys(scripts)).toContain(script)
  }
})

test('the table of limits is the limits', () => {
  const rows = [...textOf('docs/concepts.md').matchAll(/^\| `(\w+)` +\| ([\d,]+) +\|/gm)].map(
    ([, name = '', value = '']) => [name, Number(value.replaceAll(',', ''))],
  )
  expect(Object.fromEntries(rows)).toEqual(limits)
})

test('links between the pages lead somewhere', () => {
  for (const page of [...pages, 'STYLE.md']) {
    for (const [, link = ''] of textOf(page).matchAll(/\]\(([^)#:]+)\)/g)) {
      expect(() => readdirOrRead(join(root, page, '..', link)), `${page} → ${link}`).not.toThrow()
    }
  }
})

function readdirOrRead(path: string): void {
  try {
    readFileSync(path)
  } catch {
    readdirSync(path)
  }
}
