/** The arrows of the house: who may import whom. Types obey them too. */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'

const root = fileURLToPath(new URL('../', import.meta.url))
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))

interface Import {
  /** A file of ours, or a package. */
  readonly to: string
  readonly lazy: boolean
  /** Of types alone: nothing of it is loaded. */
  readonly erased: boolean
}

interface File {
  readonly path: string
  readonly text: string
  readonly imports: readonly Import[]
}

/** What each room may use of the others; of itself it may use everything. */
const arrows: Readonly<Record<string, readonly string[]>> = {
  index: ['core'],
  verify: ['core'],
  core: [],
  'storage/memory': ['core'],
  'storage/sqlite': ['core'],
  'storage/postgres': ['core'],
  'storage/dynamodb': ['core'],
  'objects/folder': ['core'],
  'objects/s3': ['core'],
  http: ['core'],
  testing: ['core'],
  conformance: ['core'],
  hosts: ['core', 'http'],
  open: ['core'],
  qldb: ['core'],
  cli: ['core', 'http', 'hosts', 'open', 'qldb'],
}
/** `open` knows all storages, but loads none that is not asked for; the command line makes tables. */
const lazyArrows: Readonly<Record<string, readonly string[]>> = {
  open: ['storage/memory', 'storage/sqlite', 'storage/postgres', 'storage/dynamodb', 'objects/folder', 'objects/s3'],
  cli: ['storage/dynamodb'],
}

/** Packages by room; a room that is not named uses none. */
const packages: Readonly<Record<string, readonly string[]>> = {
  core: ['@noble/curves', '@noble/hashes', '@standard-schema/spec', 'ajv', 'ajv-formats', 'croner'],
  'storage/postgres': ['pg'],
  'storage/dynamodb': ['@aws-sdk/client-dynamodb', '@aws-sdk/util-dynamodb'],
  'objects/s3': ['@aws-sdk/client-s3'],
  http: ['@noble/hashes', 'eventsource-parser', 'hono', 'jose', 'zod'],
  hosts: ['@hono/node-server', '@opentelemetry/api', 'pino', 'prom-client', 'rate-limiter-flexible'],
  qldb: ['ion-js'],
  cli: ['commander', 'cli-progress', 'pino'],
}
/** Rooms that know a runtime. */
const onNode = [
  'storage/sqlite',
  'storage/postgres',
  'storage/dynamodb',
  'objects/folder',
  'hosts',
  'cli',
  'qldb',
  'testing',
  'conformance',
]

const files = sources('src')
const code = files.filter(({ path }) => !path.endsWith('.test.ts') && !path.includes('/fixtures/'))
const examples = sources('examples').filter(({ path }) => !path.endsWith('.test.ts'))

function sources(folder: string): readonly File[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => {
      const path = join(folder, name)
      const text = readFileSync(join(root, path), 'utf8')
      const found = text.matchAll(
        /^(?:import|export)\b[^'"`]*?from '([^']+)'|^import '([^']+)'|\bimport\('([^']+)'\)/gm,
      )
      const imports = [...found].map(([text, from, bare, lazy]) => {
        const to = from ?? bare ?? lazy ?? ''
        return {
          to: to.startsWith('.') ? relative(root, join(root, dirname(path), to)) : to,
          lazy: lazy !== undefined,
          erased: /^(?:import|export) type /.test(text),
        }
      })
      return { path, text, imports }
    })
}

function roomOf(path: string): string {
  const [, room = '', inner = ''] = path.split('/')
  const whole = room === 'storage' || room === 'objects' ? `${room}/${inner}` : room
  return whole.replace(/\.ts$/, '')
}

function packageOf(name: string): string {
  return name
    .split('/')
    .slice(0, name.startsWith('@') ? 2 : 1)
    .join('/')
}

describe('every file', () => {
  test.each(code.map((file) => [file.path, file] as const))(
    '%s imports only what its room may use',
    (path, { imports }) => {
      const room = roomOf(path)
      expect(Object.keys(arrows)).toContain(room)
      for (const { to, lazy } of imports) {
        if (to.startsWith('node:')) expect(onNode, `${to} in ${room}`).toContain(room)
        else if (!to.startsWith('src/')) expect(packages[room] ?? [], `${to} in ${room}`).toContain(packageOf(to))
        else if (roomOf(to) !== room) {
          const allowed = [...(arrows[room] ?? []), ...(lazy ? (lazyArrows[room] ?? []) : [])]
          expect(allowed, `${to} from ${room}`).toContain(roomOf(to))
        }
      }
    },
  )

  test('says at its head what lives there, unless it is one command', () => {
    const bare = code.filter(({ path, text }) => !text.startsWith('/**') && !path.startsWith('src/cli/commands/'))
    expect(bare.map(({ path }) => path)).toEqual([])
  })

  test('is no longer than can be read whole, and is named in kebab-case', () => {
    for (const { path, text } of [...code, ...examples]) {
      expect(text.split('\n').length, path).toBeLessThanOrEqual(400)
      expect(path).toMatch(/^[a-z0-9/.-]+\.ts$/)
    }
  })

  test('has no state of its module: what changes lives in what a function returns', () => {
    const state = code.filter(({ text }) => /^(?:export )?let /m.test(text)).map(({ path }) => path)
    // The other side of a thread is a program, and programs have state.
    expect(state).toEqual(['src/storage/sqlite/worker.ts'])
  })

  test('holds no word that says it is not finished', () => {
    for (const { path, text } of [...files, ...sources('test'), ...sources('examples')]) {
      if (!path.endsWith('architecture.test.ts')) expect(text, path).not.toMatch(/\b(TODO|FIXME|XXX|HACK)\b/)
    }
  })
})

test('examples use the package by its names, as their users do, and nothing that a user could not install', () => {
  for (const { path, text, imports } of examples) {
    expect(text, path).toMatch(/^\/\*\*/)
    const installable = ['daybook', ...Object.keys({ ...manifest.dependencies, ...manifest.devDependencies })]
    for (const { to } of imports) {
      // The demo is made of the others.
      const near = path.startsWith('examples/demo/') ? ['examples/'] : [`${dirname(path)}/`, 'examples/web/']
      if (['node:', ...near].some((place) => to.startsWith(place))) continue
      expect(installable, `${to} in ${path}`).toContain(packageOf(to))
    }
  }
})

test('no file imports itself by way of others', () => {
  const imports = new Map(
    code.map(({ path, imports }) => [path, imports.filter(({ lazy }) => !lazy).map(({ to }) => to)]),
  )
  const done = new Set<string>()
  const visit = (path: string, way: readonly string[]): void => {
    expect(way, `a circle: ${[...way, path].join(' → ')}`).not.toContain(path)
    if (done.has(path)) return
    for (const to of imports.get(path) ?? []) visit(to, [...way, path])
    done.add(path)
  }
  for (const path of imports.keys()) visit(path, [])
})

test('every file is reached from an entry of the package', () => {
  const entries = Object.values<Record<string, string> | string>(manifest.exports)
    .map((entry) => (typeof entry === 'string' ? entry : (entry['daybook-source'] ?? '')))
    .map((entry) => entry.replace('./', ''))
  const reached = new Set<string>()
  const visit = (path: string): void => {
    if (reached.has(path)) return
    reached.add(path)
    for (const { to } of code.find((file) => file.path === path)?.imports ?? []) visit(to)
  }
  for (const entry of [...entries, 'src/cli/main.ts', 'src/storage/sqlite/worker.ts', 'src/storage/sqlite/auditor.ts'])
    visit(entry)
  expect(code.filter(({ path }) => !reached.has(path)).map(({ path }) => path)).toEqual([])
})

test('the verifier loads the curve and the hash, and nothing else: it is for browsers, too', () => {
  const loaded = new Set<string>()
  const visit = (path: string): void => {
    const { imports } = code.find((file) => file.path === path) ?? { imports: [] }
    for (const { to, lazy, erased } of imports) {
      if (lazy || erased || loaded.has(to)) continue
      loaded.add(to)
      visit(to)
    }
  }
  visit('src/verify.ts')
  const others = [...loaded].filter((to) => !to.startsWith('src/core/'))
  expect([...new Set(others.map(packageOf))].sort()).toEqual(['@noble/curves', '@noble/hashes'])
})

test('every dependency is imported, and the decision for it is written down', () => {
  const imported = new Set(code.flatMap(({ imports }) => imports.map(({ to }) => packageOf(to))))
  const decisions = readdirSync(join(root, 'docs/decisions')).map((name) =>
    readFileSync(join(root, 'docs/decisions', name), 'utf8'),
  )
  for (const name of Object.keys(manifest.dependencies)) {
    expect(imported, name).toContain(name)
  }
  for (const name of [...Object.keys(manifest.dependencies), ...Object.keys(manifest.devDependencies)]) {
    expect(decisions.join('\n'), `a decision for ${name}`).toContain(`\`${name}\``)
  }
})

test('the lock files name no registry', () => {
  for (const lock of ['package-lock.json', 'bench/package-lock.json']) {
    expect(readFileSync(join(root, lock), 'utf8')).not.toMatch(/"resolved": "http/)
  }
})
