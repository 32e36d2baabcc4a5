/** What users do with the client, as one program for every runtime. What it saw comes back as plain data. */
import { ConditionFailed, InvalidArgument, RevisionConflict } from 'daybook'
import { createClient } from 'daybook/client'

const book = 'book/Dune & 砂の惑星 #1?'
const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
const instant = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/

export async function useClient(url) {
  const client = createClient({ url })
  const seen = {
    append: await append(client),
    repeat: await repeat(client),
    conflict: await conflict(client),
    pages: await pages(client),
    compressed: await readings(createClient({ url, compression: 'gzip' })),
    decision: await decide(client),
    many: await appendMany(client),
    fold: await fold(client),
    refusals: await refusals(client),
    subscription: await follow(client),
    abort: await abort(client),
    forget: await forget(client),
    close: await close(client),
  }
  return { agent: navigator.userAgent, seen }
}

async function append(client) {
  const events = [
    { type: 'BookBought', data: { title: '砂の惑星 🏜', price: 19.99 }, tags: ['shelf:sci-fi & more'] },
    { type: 'BookLent', data: { to: 'ann' } },
  ]
  const { ids, time, ...facts } = await client.append(book, events, { expected: 0 })
  const read = []
  for await (const { revision, type, data, tags } of client.read(book)) read.push({ revision, type, data, tags })
  return { ...facts, ids: ids.map((id) => uuid.test(id)), time: instant.test(time), read }
}

async function repeat(client) {
  const events = [{ type: 'BookMoved', data: { to: 'attic' }, id: 'moved' }]
  const answers = [await client.append(book, events), await client.append(book, events)]
  return answers.map(({ revision, position, repeated }) => ({ revision, position, repeated }))
}

async function conflict(client) {
  const error = await refused(client.append(book, [{ type: 'BookLent' }], { expected: 1 }))
  const { code, stream, expected, actual, requestId } = error
  return { typed: error instanceof RevisionConflict, code, stream, expected, actual, requestId: uuid.test(requestId) }
}

async function pages(client) {
  const events = Array.from({ length: 600 }, (_, index) => ({ type: 'MeterRead', data: { reading: index } }))
  await client.append('meter/1', events, { expected: 0 })
  const sizes = []
  for (let after = 0, more = true; more; ) {
    const page = await client.readPage('meter/1', { after, limit: 250 })
    sizes.push(page.events.length)
    after = page.events.at(-1).revision
    more = page.more
  }
  const newest = []
  for await (const { revision } of client.read('meter/1', { direction: 'backwards', limit: 3 })) newest.push(revision)
  return { sizes, newest, all: await readings(client) }
}

async function readings(client) {
  let events = 0
  let sum = 0
  for await (const { revision, data } of client.read('meter/1')) {
    if (revision === ++events) sum += data.reading
  }
  return { events, sum }
}

async function decide(client) {
  const query = [{ types: ['SeatReserved'], tags: ['show:1'] }]
  const reserve = (stream, condition) =>
    client.append(stream, [{ type: 'SeatReserved', tags: ['show:1'] }], { condition })
  const before = await client.readBoundary(query)
  const { position } = await reserve('seat/1', before.condition)
  const error = await refused(reserve('seat/2', before.condition))
  const after = await client.readBoundary(query)
  const again = await reserve('seat/2', after.condition)
  return {
    found: [before.events.length, after.events.length],
    positions: [position, again.position],
    refused: { typed: error instanceof ConditionFailed, stream: error.stream, position: error.position },
  }
}

async function appendMany(client) {
  const paid = (amount) => [{ type: 'MoneyMoved', data: { amount } }]
  const both = (expected) => [
    { stream: 'account/1', events: paid(-7), expected: 'any' },
    { stream: 'account/2', events: paid(7), expected },
  ]
  const appended = await client.appendMany(both(0))
  const { code } = await refused(client.appendMany(both(0)))
  const { revision } = await client.details('account/1')
  return {
    appended: appended.map(({ stream, revision, position }) => ({ stream, revision, position })),
    refused: { code, revision },
  }
}

async function fold(client) {
  const account = {
    initialState: () => 0,
    evolve: (balance, { data }) => balance + data.amount,
    decide: (amount, balance) => (balance < amount ? [] : [{ type: 'MoneyMoved', data: { amount: -amount } }]),
  }
  const { state, revision, events } = await client.execute(account, 'account/2', 5)
  return {
    executed: { state, revision, events: events.length },
    now: await client.load('account/2', account),
    before: await client.load('account/2', account, { at: 1 }),
  }
}

async function refusals(client) {
  const told = async (data) => {
    const error = await refused(client.append(book, [{ type: 'BookLent', data }]))
    return { typed: error instanceof InvalidArgument, path: error.path }
  }
  return [await told({ since: new Date(0) }), await told({ days: [1, Number.NaN] })]
}

async function follow(client) {
  const seen = []
  const ending = new AbortController()
  let later
  const onCaughtUp = () => {
    if (later) return
    seen.push('caught up')
    later = client.append(book, [{ type: 'BookReturned' }], { expected: 3 })
  }
  for await (const entry of client.subscribe({ streamTypes: ['book'], onCaughtUp, signal: ending.signal })) {
    seen.push(`${entry.revision} ${entry.type}`)
    if (entry.type === 'BookReturned') ending.abort()
  }
  await later
  return seen
}

async function abort(client) {
  const { head } = await client.info()
  const ending = new AbortController()
  const onCaughtUp = () => setTimeout(() => ending.abort())
  let entries = 0
  for await (const _ of client.subscribe({ after: head, onCaughtUp, signal: ending.signal })) entries++
  return { head, entries }
}

async function forget(client) {
  await client.append('member/ann', [{ type: 'MemberJoined', data: { name: 'Ann' } }, { type: 'MemberMoved' }])
  const { time, ...report } = await client.forget('member/ann', { reasonCode: 'left' })
  const left = []
  for await (const { type, data, meta, tombstone } of client.read('member/ann')) {
    left.push({ type, data, meta, tombstone })
  }
  const { code } = await refused(client.append('member/ann', [{ type: 'MemberJoined' }]))
  return { report, left, code }
}

async function close(client) {
  const { head } = await client.info()
  let entries = 0
  for await (const _ of client.subscribe({ after: head, onCaughtUp: () => client.close() })) entries++
  const { code } = await refused(client.info())
  return { entries, code }
}

async function refused(call) {
  const answer = await call.catch((error) => error)
  if (answer instanceof Error) return answer
  throw new Error(`It was not refused: ${JSON.stringify(answer)}`)
}
