/**
 * A DynamoDB for one test run: the one that DYNAMODB_ENDPOINT names, else servers of the package that holds their binary
 * for this platform, in memory, stopped at the end. Each test case has a table of its own in it.
 */
import type { ChildProcess } from 'node:child_process'
import { createRequire } from 'node:module'
import { DynamoDBClient, ListTablesCommand, UpdateTableCommand } from '@aws-sdk/client-dynamodb'
import { inject } from 'vitest'
import type { TestProject } from 'vitest/node'
import { createTable, parseDynamoUrl } from '../../src/storage/dynamodb/storage.ts'
import { endProgram, freePort, startProgram } from './programs.ts'

declare module 'vitest' {
  interface ProvidedContext {
    dynamodb: { readonly endpoints: readonly string[] } | { readonly missing: string }
  }
}

/** Vitest calls it once for a run, and what it gives at the run's end. */
export default async function setup(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  const given = process.env['DYNAMODB_ENDPOINT']
  if (given) {
    project.provide('dynamodb', { endpoints: [given] })
    return undefined
  }
  const program = findProgram()
  if (program === undefined) {
    const platform = `${process.platform}-${process.arch}`
    project.provide('dynamodb', { missing: `no DYNAMODB_ENDPOINT, and no package @dynoxide/${platform}` })
    return undefined
  }
  // It does one thing at a time, so that each of Vitest's workers has one.
  const workers = Array.from({ length: project.vitest.config.maxWorkers })
  const servers = await Promise.all(workers.map(() => startDynamo({ program })))
  project.provide('dynamodb', { endpoints: servers.map(({ endpoint }) => endpoint) })
  return async () => {
    for (const server of servers) await server.stop()
  }
}

/** Why tests on DynamoDB are skipped here, in a line; where everything must hold they are not. */
export function missingDynamo(): string | undefined {
  const engine = inject('dynamodb')
  return 'missing' in engine && !process.env['CI'] ? engine.missing : undefined
}

/** A client of the run's server. It wants credentials, and does not look at them. */
export function newClient(endpoint = runEndpoint()): DynamoDBClient {
  const credentials = { accessKeyId: 'tester', secretAccessKey: 'tester' }
  return new DynamoDBClient({ endpoint, region: 'local', credentials, maxAttempts: 1 })
}

/** Of a table that is not there yet, in the run's server. */
export function newTableUrl(endpoint = runEndpoint()): string {
  return `dynamodb:t-${crypto.randomUUID()}?region=local&endpoint=${endpoint}`
}

/** Makes it, without boundary tags; its change stream is for who says that he reads it. */
export async function newTable(endpoint = runEndpoint(), changes?: 'changes'): Promise<{ readonly url: string }> {
  const url = newTableUrl(endpoint)
  const { table } = parseDynamoUrl(url)
  await createTable(parseDynamoUrl(url))
  if (changes) return { url }
  const client = newClient(endpoint)
  await endChanges({ table, client })
  client.destroy()
  return { url }
}

/**
 * For who does not read the table's change stream: this engine writes ever more slowly the more changes it keeps, 2,000 items
 * a second at first and 150 once it has 20,000 of them.
 */
export async function endChanges({ table, client }: { readonly table: string; readonly client: DynamoDBClient }) {
  await client.send(new UpdateTableCommand({ TableName: table, StreamSpecification: { StreamEnabled: false } }))
}

function runEndpoint(): string {
  const engine = inject('dynamodb')
  if ('missing' in engine) throw new Error(engine.missing)
  const { endpoints } = engine
  return endpoints[Number(process.env['VITEST_POOL_ID'] ?? 1) % endpoints.length] ?? ''
}

export function findProgram(): string | undefined {
  const name = process.platform === 'win32' ? 'dynoxide.exe' : 'dynoxide'
  try {
    return createRequire(import.meta.url).resolve(`@dynoxide/${process.platform}-${process.arch}/${name}`)
  } catch {
    return undefined
  }
}

export interface DynamoServer {
  readonly endpoint: string
  stop(): Promise<void>
  /** As a power cut would end it. */
  kill(): Promise<void>
}

/** With a file it is durable, and may be started again on it. */
export async function startDynamo({
  program,
  file,
  port,
}: {
  readonly program: string
  readonly file?: string
  readonly port?: number
}): Promise<DynamoServer> {
  const at = port ?? (await freePort())
  const place = file === undefined ? [] : ['--db-path', file]
  const command = [program, 'serve', '--host', '127.0.0.1', '--port', String(at), ...place]
  const server = startProgram([], 'TERM', command)
  const endpoint = `http://127.0.0.1:${at}`
  await untilReady(endpoint, server)
  return { endpoint, stop: () => endProgram(server, 'SIGTERM'), kill: () => endProgram(server, 'SIGKILL') }
}

async function untilReady(endpoint: string, server: ChildProcess): Promise<void> {
  const client = newClient(endpoint)
  for (let tries = 1; ; tries++) {
    try {
      await client.send(new ListTablesCommand({}))
      return client.destroy()
    } catch (error) {
      if (tries === 200 || server.exitCode !== null) throw error
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
}
