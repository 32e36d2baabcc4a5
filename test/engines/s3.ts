/**
 * An S3 for one test file: the one that S3_ENDPOINT names, else moto of PyPI, in a virtual environment that is made with
 * the first run and kept beside the installed packages. Each case has a prefix of its own in it.
 */
import { execFile, execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { CreateBucketCommand, ListBucketsCommand, S3Client } from '@aws-sdk/client-s3'
import { endProgram, freePort, startProgram } from './programs.ts'

export type S3Server =
  | { readonly endpoint: string; newBucket(): Promise<string>; stop(): Promise<void> }
  | { readonly missing: string }

const packages = ['moto[s3]==5.2.1', 'flask==3.1.3', 'flask-cors==6.0.5']
const run = promisify(execFile)

export async function startS3(): Promise<S3Server> {
  const given = process.env['S3_ENDPOINT']
  if (given) return { endpoint: given, newBucket: () => newBucket(given), async stop() {} }
  const python = await findMoto()
  if (typeof python !== 'string') return python
  const port = await freePort()
  const endpoint = `http://127.0.0.1:${port}`
  const server = startProgram([], 'TERM', [python, '-m', 'moto.server', '-H', '127.0.0.1', '-p', String(port)])
  const client = clientOf(endpoint)
  for (let tries = 1; ; tries++) {
    try {
      await client.send(new ListBucketsCommand())
      break
    } catch (error) {
      if (tries === 600 || server.exitCode !== null) throw error
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
  client.destroy()
  return { endpoint, newBucket: () => newBucket(endpoint), stop: () => endProgram(server, 'SIGTERM') }
}

/** Why tests on S3 are skipped here, in a line; where everything must hold they are not. */
export function missingS3(server: S3Server): string | undefined {
  if (!('missing' in server)) return undefined
  if (process.env['CI']) throw new Error(server.missing)
  return server.missing
}

/** A client of the server. It wants credentials, and does not look at them. */
export function clientOf(endpoint: string, maxAttempts = 1): S3Client {
  const credentials = { accessKeyId: 'tester', secretAccessKey: 'tester' }
  return new S3Client({ endpoint, region: 'us-east-1', credentials, forcePathStyle: true, maxAttempts })
}

async function newBucket(endpoint: string): Promise<string> {
  const client = clientOf(endpoint)
  const Bucket = `daybook-${crypto.randomUUID()}`
  await client.send(new CreateBucketCommand({ Bucket }))
  client.destroy()
  return Bucket
}

/** The Python that knows moto. */
async function findMoto(): Promise<string | { readonly missing: string }> {
  const modules = fileURLToPath(new URL('../../node_modules/', import.meta.url))
  const folder = join(modules, '.cache', 'moto-5.2.1')
  const python = (of: string) => join(of, 'bin', 'python')
  if (existsSync(python(folder))) return python(folder)
  try {
    execFileSync('python3', ['-c', 'import ensurepip'], { stdio: 'ignore' })
  } catch {
    return { missing: 'no S3_ENDPOINT, and no python3 that makes virtual environments' }
  }
  // What is not whole does not get the name.
  const part = `${folder}.${process.pid}`
  await mkdir(dirname(folder), { recursive: true })
  try {
    await run('python3', ['-m', 'venv', part])
    await run(python(part), ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...packages])
    await rename(part, folder).catch((error) => {
      if (!existsSync(python(folder))) throw error
    })
  } catch (error) {
    return { missing: `no S3_ENDPOINT, and moto cannot be installed: ${String(error).split('\n')[0]}` }
  } finally {
    await rm(part, { recursive: true, force: true })
  }
  return python(folder)
}
