/** Starts an example as its README says, and types the README's session into a shell. */
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { expect } from 'vitest'

const root = fileURLToPath(new URL('../../', import.meta.url))

export interface Example {
  readonly port: string
  /** Throws where it does not end well. */
  stop(): Promise<void>
}

/** Starts a script of the package, which says in its first line where its page is. */
export async function startExample(script: string, env: Readonly<Record<string, string>>): Promise<Example> {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const PATH = `${join(root, 'node_modules/.bin')}:${process.env['PATH']}`
  const server = spawn('sh', ['-c', `exec ${scripts[script]}`], {
    cwd: root,
    env: { ...process.env, PATH, PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [line] = await once(server.stdout, 'data')
  return {
    port: new URL(JSON.parse(String(line)).page).port,
    async stop() {
      server.kill('SIGTERM')
      const [code] = await once(server, 'exit')
      expect(code).toBe(0)
    },
  }
}

const missing = ['sh', 'curl'].filter((program) => spawnSync(program, ['--help']).error !== undefined)

/** Programs that a session needs and this machine does not have; where there must be all of them, none. */
export const lacking = missing.length > 0 && !process.env['CI'] ? missing : []

/** That each block of the session is answered as the block behind it shows, where `…` stands for what differs each time. */
export async function expectSession(readme: URL, port: string): Promise<void> {
  const typed = blocksOf(readme, 'sh').map((code) => code.replaceAll('8080', port))
  const shown = blocksOf(readme, 'json').map((code) => code.replaceAll('8080', port))
  const session = typed.map((code) => `${code}\necho =====`).join('\n')
  const shell = spawn('sh', ['-e', '-c', session], { stdio: ['ignore', 'pipe', 'inherit'] })
  const answered = (await text(shell.stdout)).split('=====\n').slice(0, -1)
  expect(answered.length).toBe(shown.length)
  for (const [index, answers] of answered.entries()) expect(answers).toMatch(pattern(shown[index] ?? ''))
}

/** What the README does by hand, on the example's store; throws where a command fails. */
export function runByHand(readme: URL, env: Readonly<Record<string, string>>): void {
  const exported = `export DAYBOOK_STORE=${env['DAYBOOK_STORE']}`
  for (const code of blocksOf(readme, 'sh by-hand')) {
    const typed = code.replace(/export DAYBOOK_STORE=\S+/, exported).replaceAll('npx daybook', 'node bin/daybook.js')
    const PATH = `${join(root, 'node_modules/.bin')}:${process.env['PATH']}`
    execFileSync('sh', ['-e', '-c', typed], { cwd: root, env: { ...process.env, ...env, PATH }, stdio: 'pipe' })
  }
}

export function blocksOf(readme: URL, language: string): readonly string[] {
  const blocks = readFileSync(readme, 'utf8').matchAll(/^```(.*)\n([\s\S]*?)^```$/gm)
  return [...blocks].flatMap(([, named, code = '']) => (named === language ? [code] : []))
}

function pattern(shown: string): RegExp {
  const parts = shown.split('…')
  return new RegExp(`^${parts.map((part) => RegExp.escape(part)).join('[^"]*')}$`)
}
