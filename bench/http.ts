/** The figures of the HTTP face. Servers are processes of their own; this one is their callers. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { openStore } from 'daybook'
import { createClient } from 'daybook/client'
import { sqliteStorage } from 'daybook/sqlite'
import { type Measured, median, ratio, sideBySide } from './measure.ts'
import { fill, flags } from './memory.ts'
import { eventType, sampleData } from './sample.ts'

const script = fileURLToPath(import.meta.url)
const callers = 32
const subscribers = 1_000

export async function http(folder: string, rounds: number): Promise<void> {
  console.log('\n| HTTP figure | daybook | against | ratio | to reach |\n|---|---|---|---|---|')
  await appends(folder, rounds)
  await client(folder, rounds)
  await feed(folder, Math.min(rounds, 5))
  await idle(folder, Math.min(rounds, 5))
}

/** 32 connections that append one event after the other, against the same app over a store that keeps nothing. */
async function appends(folder: string, rounds: number): Promise<void> {
  await using real = await startServer(`${folder}/http.db`)
  await using echo = await startServer('echo')
  const each = 150
  const [mine, other] = await sideBySide(
    {
      daybook: async () => load(real.url, each),
      'no storage': async () => load(echo.url, each),
    },
    rounds,
  )
  print(`durable append, ${callers} connections`, mine, other, '≥ 0.5')
}

/** Our client against hand-written fetch calls, one after the other, on one server. */
async function client(folder: string, rounds: number): Promise<void> {
  await using server = await startServer(`${folder}/client.db`)
  await using store = createClient({ url: server.url })
  const calls = 400
  let stream = 0
  const events = () => [{ type: eventType, data: sampleData(stream), id: crypto.randomUUID() }]
  const byHand = async (method: string, path: string, body?: unknown) => {
    const init = { method, headers: { 'content-type': 'application/json', 'accept-encoding': 'identity' } }
    const response = await fetch(server.url + path, {
      ...init,
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    return response.json()
  }
  const appended = await sideBySide(
    {
      daybook: async () => {
        for (let call = 0; call < calls; call++) await store.append(`permit/${++stream % 100}`, events())
        return calls
      },
      fetch: async () => {
        for (let call = 0; call < calls; call++) {
          const appends = [{ stream: `permit/${++stream % 100}`, events: events(), expected: 'any' }]
          await byHand('POST', '/append', { appends })
        }
        return calls
      },
    },
    rounds,
  )
  print('client, append', appended[0], appended[1], '≥ 0.77')
  const read = await sideBySide(
    {
      daybook: async () => {
        for (let call = 0; call < calls; call++) await store.readPage(`permit/${++stream % 100}`, { limit: 20 })
        return calls
      },
      fetch: async () => {
        for (let call = 0; call < calls; call++) {
          await byHand('GET', `/streams/permit/${++stream % 100}?after=0&direction=forwards&limit=20`)
        }
        return calls
      },
    },
    rounds,
  )
  print('client, page of 20 events', read[0], read[1], '≥ 0.77')
}

/** The whole log of 1,000,000 events as NDJSON, against a scan in this process; its memory against that over a small log. */
async function feed(folder: string, rounds: number): Promise<void> {
  const total = 1_000_000
  const small = await memoryOfFeed(await fill(`${folder}/feed-small.db`, 100_000), 20)
  const file = await fill(`${folder}/feed.db`, total)
  await using store = await openStore(await sqliteStorage({ file, readOnly: true }))
  await using server = await startServer(file)
  const [mine, other] = await sideBySide(
    {
      daybook: async () => (await readFeed(server.url)).lines,
      embedded: async () => {
        let events = 0
        for await (const _ of store.readLog()) events++
        if (events !== total) throw new Error(`scanned ${events}`)
        return events
      },
    },
    rounds,
  )
  print('feed of 1,000,000 events as NDJSON', mine, other, '≥ 0.5')
  const large = await memoryOfFeed(file, 2)
  const sides = (memory: typeof large) => `server ${mb(memory.server)}, reader ${mb(memory.reader)}`
  console.log(`| its memory | ${sides(large)} | of 100,000 events, 20 times: ${sides(small)} | | flat |`)
}

/** Peaks of a fresh server and a fresh reader. */
async function memoryOfFeed(file: string, times: number): Promise<{ server: number; reader: number }> {
  await using server = await startServer(file)
  const reader = spawn(process.execPath, [...flags, script, 'read', server.url, String(times)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const { value } = await createInterface({ input: reader.stdout })[Symbol.asyncIterator]().next()
  return { server: (await server.memory()).most, reader: Number(value) }
}

async function readFeed(url: string): Promise<{ lines: number }> {
  const headers = { accept: 'application/x-ndjson', 'accept-encoding': 'identity' }
  const response = await fetch(`${url}/log`, { headers })
  let lines = 0
  for await (const chunk of response.body ?? []) {
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, at + 1)) lines++
  }
  return { lines }
}

/** 1,000 subscribers that nothing is for, and then one event that is for all of them. */
async function idle(folder: string, rounds: number): Promise<void> {
  await using server = await startServer(`${folder}/idle.db`)
  await using alone = await startServer(`${folder}/alone.db`)
  await load(server.url, 50)
  const { now: before } = await server.memory()
  const arrivals: number[] = []
  const sockets = await Promise.all(
    Array.from({ length: subscribers }, () => subscribe(server.url, () => arrivals.push(performance.now()))),
  )
  await pause(2_000)
  const { now: after } = await server.memory()
  const [mine, other] = await sideBySide(
    { daybook: async () => load(server.url, 100), 'without them': async () => load(alone.url, 100) },
    rounds,
  )
  const reached: number[] = []
  for (let round = 0; round < rounds; round++) {
    arrivals.length = 0
    const sent = performance.now()
    const body = { events: [{ type: 'For all' }] }
    await fetch(`${server.url}/streams/note/1/events`, { method: 'POST', body: JSON.stringify(body) })
    while (arrivals.length < subscribers) await pause(5)
    reached.push(Math.max(...arrivals) - sent)
  }
  print(`append rate beside ${subscribers} idle subscribers`, mine, other, '≥ 0.8')
  console.log(`| their memory | ${mb(after - before)} | | | ≤ 150 MB |`)
  console.log(`| a new event reaches all of them | ${Math.round(median(reached))} ms | | | ≤ 250 ms |`)
  for (const socket of sockets) socket.destroy()
}

/** Each of 32 connections appends `each` events, one after the other. */
async function load(url: string, each: number): Promise<number> {
  const { hostname, port } = new URL(url)
  const one = async (stream: number) => {
    const socket = connect(Number(port), hostname)
    await once(socket, 'connect')
    socket.setNoDelay(true)
    for (let turn = 0; turn < each; turn++) {
      const body = JSON.stringify({ events: [{ type: eventType, data: sampleData(turn) }] })
      const head = `POST /streams/permit/${stream}/events HTTP/1.1\r\nHost: ${hostname}\r\nContent-Length: ${body.length}\r\n\r\n`
      socket.write(head + body)
      await answer(socket)
    }
    socket.destroy()
  }
  await Promise.all(Array.from({ length: callers }, (_, index) => one(index)))
  return each * callers
}

/** Waits for a whole answer, and throws for one that is not 201. */
function answer(socket: Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    let text = ''
    const take = (chunk: Buffer) => {
      text += chunk.toString('latin1')
      const end = text.indexOf('\r\n\r\n')
      const length = Number(/content-length: (\d+)/i.exec(text)?.[1])
      if (end < 0 || text.length < end + 4 + length) return
      socket.off('data', take)
      if (text.startsWith('HTTP/1.1 201')) resolve()
      else reject(new Error(text))
    }
    socket.on('data', take)
  })
}

/** A feed of notes, over a bare socket: this process must not be what is measured. */
async function subscribe(url: string, onNote: () => void): Promise<Socket> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  await once(socket, 'connect')
  socket.write(`GET /log?stream-type=note HTTP/1.1\r\nHost: ${hostname}\r\nAccept: text/event-stream\r\n\r\n`)
  socket.on('data', (chunk) => {
    if (chunk.includes('For all')) onNote()
  })
  return socket
}

async function startServer(file: string) {
  const server = fileURLToPath(new URL('./server.ts', import.meta.url))
  const child: ChildProcess = spawn(process.execPath, [...flags, server, file], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const lines = createInterface({ input: child.stdout ?? process.stdin })[Symbol.asyncIterator]()
  const line = async () => String((await lines.next()).value)
  return {
    url: await line(),
    /** Bytes now, and at most. */
    async memory() {
      child.stdin?.write('\n')
      const [now = 0, most = 0] = (await line()).split(' ').map(Number)
      return { now, most }
    },
    async [Symbol.asyncDispose]() {
      child.stdin?.end()
      await once(child, 'close')
    },
  }
}

function print(name: string, mine: Measured | undefined, other: Measured | undefined, reach: string): void {
  if (!mine || !other) return
  const rate = ({ rates }: Measured) => `${Math.round(median(rates)).toLocaleString('en')}/s`
  console.log(
    `| ${name} | ${rate(mine)} | ${other.name} ${rate(other)} | ${ratio(mine, other).toFixed(2)} | ${reach} |`,
  )
}

function mb(bytes: number): string {
  return `${Math.round(bytes / 1_048_576)} MB`
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

if (process.argv[1] === script) {
  const [, url = '', times] = process.argv.slice(2)
  for (let time = 0; time < Number(times); time++) await readFeed(url)
  console.log(process.resourceUsage().maxRSS * 1_024)
}
