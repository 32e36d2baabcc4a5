/** The package as users get it: packed from a copy of the tree, unpacked as a dependency, loaded and type-checked. */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { publint } from 'publint'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const root = fileURLToPath(new URL('../', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'daybook-package-'))
const consumer = join(folder, 'consumer')
const installed = join(consumer, 'node_modules/daybook')
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const entries = Object.keys(manifest.exports).filter((entry) => entry !== './package.json')
const nameOf = (entry: string) => entry.replace('.', 'daybook')

beforeAll(() => {
  const copy = join(folder, 'copy')
  for (const name of [
    'package.json',
    'tsconfig.json',
    'tsconfig.build.json',
    'README.md',
    'LICENSE',
    'NOTICE',
    'CHANGELOG.md',
    'bin',
    'scripts',
    'src',
  ]) {
    cpSync(join(root, name), join(copy, name), { recursive: true })
  }
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))
  run('npm', ['pack', '--pack-destination', folder], copy)
  const tarball = readdirSync(folder).find((name) => name.endsWith('.tgz')) ?? ''
  mkdirSync(installed, { recursive: true })
  run('tar', ['-xzf', join(folder, tarball), '-C', installed, '--strip-components', '1'], folder)
  // What npm would install beside it.
  const known = readdirSync(join(root, 'node_modules'), { withFileTypes: true }).flatMap(({ name }) =>
    name.startsWith('@')
      ? readdirSync(join(root, 'node_modules', name)).map((inner) => `${name}/${inner}`)
      : name.startsWith('.')
        ? []
        : name,
  )
  for (const name of known) {
    mkdirSync(dirname(join(consumer, 'node_modules', name)), { recursive: true })
    symlinkSync(join(root, 'node_modules', name), join(consumer, 'node_modules', name))
  }
  writeFileSync(join(consumer, 'package.json'), '{ "type": "module", "private": true }')
}, 300_000)

afterAll(() => rmSync(folder, { recursive: true, force: true }))

function run(command: string, args: readonly string[], cwd: string) {
  const done = spawnSync(command, args, { cwd, encoding: 'utf8' })
  expect(done.status, `${command} ${args.join(' ')}\n${done.stdout}\n${done.stderr}`).toBe(0)
  return done.stdout
}

/** Runs a module of the consumer, and parses the last line that it prints. */
function runModule(text: string, ...flags: string[]) {
  writeFileSync(join(consumer, 'run.js'), text)
  const output = run(process.execPath, ['--disable-warning=ExperimentalWarning', ...flags, 'run.js'], consumer)
  return JSON.parse(output.trim().split('\n').at(-1) ?? '')
}

describe('the packed package', () => {
  test('has the shape that package tools ask for', async () => {
    const { messages } = await publint({ pkgDir: installed, pack: false })
    expect(messages).toEqual([])
  })

  test('holds the build, the licence and what people read, and neither sources nor tests', () => {
    expect(readdirSync(installed).sort()).toEqual([
      'CHANGELOG.md',
      'LICENSE',
      'NOTICE',
      'README.md',
      'bin',
      'dist',
      'package.json',
    ])
    const files = readdirSync(join(installed, 'dist'), { recursive: true, encoding: 'utf8' })
    expect(files.filter((name) => /\.test\.|fixtures/.test(name))).toEqual([])
    expect(files).toContain('hosts/openapi/swagger-ui-bundle.js')
  })

  test('resolves every export', () => {
    const names = runModule(`
      const names = {}
      for (const name of ${JSON.stringify(entries.map(nameOf))}) names[name] = Object.keys(await import(name))
      console.log(JSON.stringify(names))`)
    expect(names).toMatchObject({
      daybook: expect.arrayContaining(['openStore', 'RevisionConflict', 'isStoreError', 'causedBy']),
      'daybook/open': ['open', 'openObjects', 'openStorage'],
      'daybook/objects/folder': ['folderObjects'],
      'daybook/objects/s3': ['parseS3Url', 's3Objects'],
      'daybook/memory': ['memoryLog', 'memoryStorage'],
      'daybook/sqlite': ['sqliteStorage'],
      'daybook/postgres': ['postgresStorage'],
      'daybook/dynamodb': ['createTable', 'dynamoSequencer', 'dynamoStorage', 'parseDynamoUrl'],
      'daybook/http': ['createApp', 'jwtAccess', 'keyAccess', 'openKeys'],
      'daybook/client': ['createClient'],
      'daybook/node': ['apiPage', 'createMetrics', 'processTracer', 'serve', 'startWorkers'],
      'daybook/lambda': ['sequencerHandler', 'sweepHandler'],
      'daybook/testing': ['testDecider', 'testProjection'],
      'daybook/conformance': [
        'archiveConformance',
        'backupConformance',
        'embeddedConformance',
        'objectConformance',
        'stateConformance',
        'storageConformance',
        'storeConformance',
        'viewConformance',
        'workConformance',
      ],
    })
  })

  test.each(['nodenext', 'bundler'])(
    'type-checks under %s with the strictest settings, its own declarations too',
    (resolution) => {
      writeFileSync(
        join(consumer, 'consumer.ts'),
        `${entries.map((entry, index) => `import * as entry${index} from '${nameOf(entry)}'`).join('\n')}
       import { openStore, type EventFrom, type EventOf, type Decider } from 'daybook'
       import * as z from 'zod/mini'
       import { memoryStorage } from 'daybook/memory'
       type SeatEvent = EventOf<{ Reserved: { by: string }; Freed: null }>
       const store = await openStore(memoryStorage())
       await store.append<SeatEvent>('seat/1', [{ type: 'Reserved', data: { by: 'Ann' }, tags: ['vip'] }], { expected: 0 })
       for await (const event of store.read<SeatEvent>('seat/1')) if (event.type === 'Reserved') event.data.by satisfies string
       // @ts-expect-error: a type that the union does not know
       await store.append<SeatEvent>('seat/1', [{ type: 'Taken', data: { by: 'Ann' } }])
       // @ts-expect-error: data of another shape
       await store.append<SeatEvent>('seat/1', [{ type: 'Reserved', data: { by: 7 } }])
       const schemas = { Sold: z.object({ price: z.number() }) }
       type Sale = EventFrom<typeof schemas>
       const sale: Sale = { type: 'Sold', data: { price: 19.99 } }
       // @ts-expect-error: what the schema refuses
       const wrong: Sale = { type: 'Sold', data: { price: 'high' } }
       await openStore(memoryStorage(), { schemas })
       const seat: Decider<'reserve', SeatEvent, number> = { initialState: () => 0, evolve: (n) => n + 1, decide: () => [] }
       const { state } = await store.execute(seat, 'seat/1', 'reserve')
       state satisfies number
       export { sale, wrong, ${entries.map((_, index) => `entry${index}`).join(', ')} }`,
      )
      const options = {
        module: resolution === 'bundler' ? 'esnext' : 'nodenext',
        moduleResolution: resolution,
        target: 'es2024',
        lib: ['esnext'],
        types: ['node'],
        strict: true,
        exactOptionalPropertyTypes: true,
        noUncheckedIndexedAccess: true,
        skipLibCheck: false,
        noEmit: true,
      }
      writeFileSync(
        join(consumer, 'tsconfig.json'),
        JSON.stringify({ compilerOptions: options, files: ['consumer.ts'] }),
      )
      const compiler = join(root, 'node_modules/typescript/bin/tsc')
      const { stdout } = spawnSync(process.execPath, [compiler, '-p', 'tsconfig.json'], {
        cwd: consumer,
        encoding: 'utf8',
      })
      // Declarations of others have faults of their own under settings this strict.
      const ours = stdout.split('\n').filter((line) => /^(node_modules\/daybook\/|consumer\.ts)/.test(line))
      expect(ours).toEqual([])
    },
  )

  test('loads no storage and nothing of any runtime for its front door, its client and its app', () => {
    const watched = (name: string): string[] =>
      runModule(`
        import { registerHooks } from 'node:module'
        const loaded = []
        registerHooks({ resolve(specifier, context, next) {
          const found = next(specifier, context)
          loaded.push(found.url)
          return found
        } })
        await import('${name}')
        console.log(JSON.stringify(loaded))`)
    const front = watched('daybook')
    expect(
      front.filter(
        (url) => url.startsWith('node:') || /dist\/(storage|http|hosts|cli|testing|conformance)\//.test(url),
      ),
    ).toEqual([])
    expect(front.filter((url) => url.includes('/dist/core/')).length).toBeGreaterThan(10)
    const memory = watched('daybook/memory')
    expect(memory.filter((url) => url.startsWith('node:') || url.includes('/storage/sqlite/'))).toEqual([])
    expect(watched('daybook/open').filter((url) => url.includes('/storage/'))).toEqual([])
    const client = watched('daybook/client')
    expect(client.filter((url) => /^node:|node_modules\/(hono|zod|jose|pino)\/|dist\/storage\//.test(url))).toEqual([])
    expect(watched('daybook/http').filter((url) => /^node:|node_modules\/jose\//.test(url))).toEqual([])
  })

  test('works: the library, SQLite on a thread, the command line and the server with its page', () => {
    const told = runModule(`
      import { open } from 'daybook/open'
      import { openStore } from 'daybook'
      import { sqliteStorage } from 'daybook/sqlite'
      import { serve } from 'daybook/node'
      import pino from 'pino'
      await using store = await openStore(await sqliteStorage({ file: 'threaded.db', thread: true }))
      await store.append('seat/1', [{ type: 'Reserved' }])
      const server = await serve({ store, port: 0, logger: pino({ level: 'silent' }) })
      const page = await fetch(server.url + '/openapi/swagger-ui-bundle.js')
      const details = await (await fetch(server.url + '/streams/seat/1/details')).json()
      await server.close()
      console.log(JSON.stringify({ page: page.status, revision: details.stream.revision }))`)
    expect(told).toEqual({ page: 200, revision: 1 })
    const bin = join(installed, 'bin/daybook.js')
    run(process.execPath, [bin, 'append', 'seat/1', 'Reserved', '--store', 'sqlite:cli.db'], consumer)
    expect(run(process.execPath, [bin, 'streams', 'seat', '--store', 'sqlite:cli.db'], consumer)).toContain('seat/1')
  })
})
