/** What AWS may answer in place of what was asked: it throttles, conflicts, refuses, breaks, or says nothing at all. */
import { DeleteTableCommand } from '@aws-sdk/client-dynamodb'
import { beforeEach, describe, expect, test } from 'vitest'
import { missingDynamo } from '../../../test/engines/dynamodb.ts'
import { type Fault, lost, newWire, refusal, type Wire } from '../../../test/engines/wire.ts'
import { range } from '../../conformance/kit.ts'
import { positionOf, until } from '../../conformance/store/kit.ts'
import { isStoreError } from '../../core/errors.ts'
import { openStore, type Store } from '../../core/store.ts'
import { createTable, dynamoStorage } from './storage.ts'

const missing = missingDynamo()

describe.skipIf(missing !== undefined)(`faults of DynamoDB${missing ? ` (${missing})` : ''}`, () => {
  let wire: Wire
  let table: string
  let store: Store
  beforeEach(async () => {
    wire = newWire()
    table = `faults-${crypto.randomUUID()}`
    await createTable({ table, client: wire.client, boundaryTags: ['seat:'] })
    store = await openStore(await dynamoStorage({ table, client: wire.client, pollMs: 20 }))
    return async () => {
      wire.heal()
      await store.close()
      wire.client.destroy()
    }
  })

  /** The first requests of a kind meet the fault, and those after them none; sequencing goes its own way. */
  function breakFirst(count: number, broken: readonly string[], fault: () => Fault): void {
    let left = count
    wire.breakWith((action, input) => {
      if (!broken.includes(action) || isOfSequencer(input) || left === 0) return undefined
      left--
      return fault()
    })
  }
  const breakAll = (fault: () => Fault) => wire.breakWith((_, input) => (isOfSequencer(input) ? undefined : fault()))
  const throttled = (name: string) => () => ({ error: refusal(name), done: false })
  const cancelled = (...codes: string[]) => ({
    error: refusal('TransactionCanceledException', { CancellationReasons: codes.map((Code) => ({ Code })) }),
    done: false,
  })
  const idsOf = async (stream: string) => (await Array.fromAsync(store.read(stream))).map(({ id }) => id)

  /** An append of each kind, by the requests that it makes. */
  const appends: Readonly<Record<string, (stream: string, id: string) => Promise<unknown>>> = {
    'one put': (stream, id) => store.append(stream, [{ id, type: 'Booked' }], { expected: 0 }),
    'a claim and a put': (stream, id) => store.append(stream, [{ id, type: 'Booked' }]),
    'one transaction': (stream, id) =>
      store.append(stream, [{ id, type: 'Booked', tags: ['seat:1'] }], { expected: 0 }),
    'a transaction with a claim': (stream, id) => store.append(stream, [{ id, type: 'Booked', tags: ['seat:1'] }]),
  }
  const kinds = Object.keys(appends)
  const appendAs = (kind: string, stream = 'seat/1', id = 'mine') => appends[kind]?.(stream, id) ?? Promise.reject()
  const actions: readonly string[] = ['PutItem', 'TransactWriteItems']

  describe('throttling', () => {
    test.each([
      'ProvisionedThroughputExceededException',
      'ThrottlingException',
      'RequestLimitExceeded',
      'TransactionInProgressException',
      'TransactionConflictException',
    ])('that says %s is waited out, and nothing is written twice', async (name) => {
      for (const [at, kind] of kinds.entries()) {
        breakFirst(3, actions, throttled(name))
        await appendAs(kind, `seat/${at}`, kind)
        expect(await idsOf(`seat/${at}`)).toEqual([kind])
      }
    })

    test.each(['ThrottlingError', 'TransactionConflict', 'ProvisionedThroughputExceeded'])(
      'a transaction that is cancelled for %s is tried again',
      async (code) => {
        breakFirst(3, ['TransactWriteItems'], () => cancelled('None', code))
        await appendAs('one transaction')
        expect(await idsOf('seat/1')).toEqual(['mine'])
      },
    )

    test('that does not end is "store-busy" within seconds, to who writes and who reads; nothing was written', async () => {
      breakAll(throttled('ThrottlingException'))
      const asked = [
        ...kinds.map((kind) => appendAs(kind, `seat/${kind}`.replaceAll(' ', '-'), kind)),
        Array.fromAsync(store.read('seat/1')),
        store.readLogPage(),
        store.details('seat/1'),
      ]
      const answers = await within(15_000, Promise.allSettled(asked))
      expect(answers.map((answer) => answer.status === 'rejected' && answer.reason.code)).toEqual(
        asked.map(() => 'store-busy'),
      )
      expect(answers[4]).toMatchObject({ reason: { message: `dynamodb:${table} is throttled` } })
      wire.heal()
      expect(await store.details('seat/1')).toBeUndefined()
    })

    test('a transaction that others hold up for good is "store-busy" within seconds', async () => {
      wire.breakWith((action, input) =>
        action === 'TransactWriteItems' && !isOfSequencer(input) ? cancelled('TransactionConflict') : undefined,
      )
      await expect(within(15_000, appendAs('one transaction'))).rejects.toMatchObject({ code: 'store-busy' })
    })

    test('keys of a batch that are left unprocessed are asked for again; those that stay so are "store-busy"', async () => {
      const fresh = await openStore(await dynamoStorage({ table, client: wire.client }))
      for (const at of range(1, 5)) await fresh.append(`seat/${at}`, [{ id: `${at}`, type: 'Booked' }])
      for (const at of range(1, 5)) await positionOf(fresh, `seat/${at}`)
      let answers = 0
      const unprocessed = (input: Readonly<Record<string, unknown>>): Fault => {
        answers++
        return { answer: { Responses: {}, UnprocessedKeys: input['RequestItems'] } }
      }
      wire.breakWith((action, input) => (action === 'BatchGetItem' && answers < 3 ? unprocessed(input) : undefined))
      expect((await fresh.readLogPage()).entries).toHaveLength(5)
      expect(answers).toBe(3)
      wire.breakWith((action, input) => (action === 'BatchGetItem' ? unprocessed(input) : undefined))
      await expect(within(15_000, fresh.readLogPage())).rejects.toMatchObject({ code: 'store-busy' })
      wire.heal()
      await fresh.close()
    })
  })

  describe('an answer that is lost', () => {
    const losses = [lost('ECONNRESET'), lost('ETIMEDOUT'), Object.assign(lost(), { name: 'TimeoutError' })]
    const failures = [...losses, refusal('InternalServerError', { status: 500 }), refusal('Unknown', { status: 503 })]

    test.each(kinds.flatMap((kind) => [false, true].map((done) => [kind, done ? 'after' : 'before'] as const)))(
      'of %s, %s it was done: the append is recorded once, and gets its position',
      async (kind, when) => {
        for (const [at, error] of failures.entries()) {
          const stream = `seat/${at}`
          breakFirst(1, actions, () => ({ error, done: when === 'after' }))
          await appendAs(kind, stream, `mine-${at}`)
          wire.heal()
          expect(await idsOf(stream)).toEqual([`mine-${at}`])
          expect(await appendAs(kind, stream, `mine-${at}`)).toMatchObject({ repeated: true })
          await positionOf(store, stream)
        }
        expect((await store.readLogPage()).head).toBe(failures.length)
      },
    )

    /** The first write is done and its answer lost; from then on nothing of the store's own gets through. */
    function breakFromFirstWriteOn(fault: () => Fault): void {
      let written = false
      wire.breakWith((action, input) => {
        if (isOfSequencer(input)) return undefined
        if (written) return fault()
        written = actions.includes(action)
        return written ? { error: lost(), done: true } : undefined
      })
    }

    test.each(kinds.flatMap((kind) => [`${kind}, before it was done`, `${kind}, after it was done`]))(
      'each time, of %s: the outcome is unknown, and a repeat tells it',
      async (which) => {
        const [kind = '', when = ''] = which.split(', ')
        if (when.startsWith('after')) breakFromFirstWriteOn(() => ({ error: lost(), done: false }))
        else wire.breakWith((action) => (actions.includes(action) ? { error: lost(), done: false } : undefined))
        await expect(within(30_000, appendAs(kind))).rejects.toMatchObject({ code: 'outcome-unknown', ids: ['mine'] })
        wire.heal()
        await appendAs(kind)
        expect(await idsOf('seat/1')).toEqual(['mine'])
        expect(await positionOf(store, 'seat/1')).toBe(1)
      },
    )

    test('of an append that nobody repeats: what is there gets its position all the same', async () => {
      wire.breakWith((action, input) =>
        action === 'PutItem' && !isOfSequencer(input) ? { error: lost(), done: true } : undefined,
      )
      await appendAs('one put').catch(() => {})
      wire.heal()
      expect(await positionOf(store, 'seat/1')).toBe(1)
    })

    test.each(kinds)('of %s, and then throttling: the outcome is unknown, not "nothing was written"', async (kind) => {
      breakFromFirstWriteOn(throttled('ThrottlingException'))
      await expect(within(30_000, appendAs(kind))).rejects.toMatchObject({ code: 'outcome-unknown' })
      wire.heal()
      await appendAs(kind)
      expect(await idsOf('seat/1')).toEqual(['mine'])
    })

    test('of a page of positions: no event has two, and none is left out', async () => {
      let answers = 0
      wire.breakWith((action, input) =>
        action === 'TransactWriteItems' && isOfSequencer(input) && ++answers % 2 === 1
          ? { error: lost(), done: answers % 4 === 1 }
          : undefined,
      )
      for (const at of range(1, 20)) await store.append(`seat/${at % 3}`, [{ id: `${at}`, type: 'Booked' }])
      for (const at of range(0, 2)) await positionOf(store, `seat/${at}`)
      expect(answers).toBeGreaterThan(1)
      const { entries } = await store.readLogPage()
      expect(entries.map(({ position }) => position)).toEqual(range(1, 20))
      expect(new Set(entries.map((entry) => 'id' in entry && entry.id)).size).toBe(20)
    })

    test('of reads: they are asked again, and after some tries fail with the table and the cause', async () => {
      await store.append('seat/1', [{ id: 'mine', type: 'Booked' }])
      for (const error of failures) {
        breakFirst(3, ['Query'], () => ({ error, done: false }))
        expect(await idsOf('seat/1')).toEqual(['mine'])
      }
      wire.breakWith((action) => (action === 'Query' ? { error: lost(), done: false } : undefined))
      await expect(within(15_000, idsOf('seat/1'))).rejects.toMatchObject({
        code: 'storage-failed',
        message: expect.stringMatching(new RegExp(`read from dynamodb:${table}: socket: ECONNRESET`)),
      })
    })
  })

  describe('a refusal', () => {
    const denied = `User: arn:aws:iam::1:user/ann is not authorized to perform: dynamodb:X on resource: ${'table'}`
    test.each([
      ['AccessDeniedException', denied],
      ['ExpiredTokenException', 'The security token included in the request is expired'],
      ['UnrecognizedClientException', 'The security token included in the request is invalid.'],
      [
        'InvalidSignatureException',
        'The signature does not match.\n\nThe Canonical String was x-amz-security-token:s3cret',
      ],
      ['CredentialsProviderError', 'Could not load credentials from any providers'],
    ])('that says %s is told at once with the table and the reason; nothing was written', async (name, message) => {
      const error = name === 'CredentialsProviderError' ? Object.assign(new Error(message), { name }) : undefined
      breakAll(() => ({ error: error ?? refusal(name, { message }), done: false }))
      const [reason = ''] = message.split('\n')
      const told = (what: string) => ({
        code: 'storage-failed',
        message: `The storage failed to ${what} dynamodb:${table}: ${reason} (${name})`,
      })
      wire.take()
      for (const kind of kinds) {
        // It may have to read before what it goes by for some seconds.
        const error = await appendAs(kind).catch((error: Error) => error)
        expect([told('write to'), told('read from')]).toContainEqual({
          code: (error as { code?: string }).code,
          message: (error as Error).message,
        })
      }
      await expect(Array.fromAsync(store.read('seat/1'))).rejects.toMatchObject(told('read from'))
      await expect(store.readLogPage()).rejects.toMatchObject(told('read from'))
      // Each was asked once: that does not get better by asking again. An append may ask what is declared before.
      expect(wire.take().length).toBeLessThanOrEqual(12 + kinds.length)
      wire.heal()
      expect(await store.details('seat/1')).toBeUndefined()
    })

    test('a table that goes while the store is open is missing, and is told so with what mends it', async () => {
      await wire.client.send(new DeleteTableCommand({ TableName: table }))
      const gone = { code: 'store-missing', message: expect.stringMatching(/daybook table create/) }
      for (const kind of kinds) await expect(appendAs(kind)).rejects.toMatchObject(gone)
      await expect(Array.fromAsync(store.read('seat/1'))).rejects.toMatchObject(gone)
    })
  })

  test('through faults of every kind nothing acknowledged is lost or doubled; writers and subscribers go on', async () => {
    const following = await openStore(await dynamoStorage({ table, client: wire.client, pollMs: 20 }))
    const ended = new AbortController()
    const seen: (number | undefined)[] = []
    const subscription = (async () => {
      const options = { signal: ended.signal, onTrouble() {} }
      for await (const { position } of following.subscribe(options)) seen.push(position)
    })()
    const faults = [
      () => ({ error: lost(), done: false }),
      () => ({ error: lost('ETIMEDOUT'), done: true }),
      () => ({ error: refusal('InternalServerError', { status: 500 }), done: Math.random() < 0.5 }),
      throttled('ThrottlingException'),
    ]
    wire.breakWith(() => {
      if (Math.random() > 0.15) return undefined
      return faults[Math.floor(Math.random() * faults.length)]?.()
    })
    const writers = range(1, 4).map(async (writer) => {
      for (const turn of range(1, 15)) {
        const mine = [{ id: `${writer}-${turn}`, type: 'Booked', tags: turn % 3 === 0 ? ['seat:1'] : [] }]
        const expected = turn % 2 === 0 ? 'any' : turn - 1
        for (let done = false; !done; ) {
          await store.append(`seat/${writer}`, mine, { expected }).then(
            () => {
              done = true
            },
            (error: unknown) => {
              // Safe to repeat with the same ids, for ever.
              if (!isStoreError(error, 'outcome-unknown') && !isStoreError(error, 'store-busy')) throw error
            },
          )
        }
      }
    })
    await Promise.all(writers)
    wire.heal()
    await until(() => seen.length >= 60)
    expect(seen).toEqual(range(1, 60))
    for (const writer of range(1, 4)) {
      expect(await idsOf(`seat/${writer}`)).toEqual(range(1, 15).map((turn) => `${writer}-${turn}`))
    }
    ended.abort()
    await subscription
    await following.close()
  })
})

/** Of the sequencer, the listings and the signs of life, which try again by themselves. */
function isOfSequencer(input: Readonly<Record<string, unknown>>): boolean {
  const text = JSON.stringify(input, (_, value) => (value instanceof Uint8Array ? '' : value))
  return /"S":"(f#|h#|l#)/.test(text) && !/"S":"r\d/.test(text)
}

async function within<Answer>(ms: number, asked: Promise<Answer>): Promise<Answer> {
  const began = performance.now()
  try {
    return await asked
  } finally {
    expect(performance.now() - began).toBeLessThan(ms)
  }
}
