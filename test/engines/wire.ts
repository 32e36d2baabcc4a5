/**
 * A client of the run's DynamoDB whose requests are seen: each is kept with the units that the engine counts for it, and
 * each may be answered by a fault in the engine's place, before it is done or after.
 */
import { type DynamoDBClient, DynamoDBServiceException } from '@aws-sdk/client-dynamodb'
import { newClient } from './dynamodb.ts'

export interface Request {
  /** `PutItem`, `Query`, … */
  readonly action: string
  readonly input: Readonly<Record<string, unknown>>
  /** Units of the table, and of its index. Both are 0 where the engine refused the request. */
  readonly reads: number
  readonly writes: number
  readonly indexWrites: number
}

/** What happens to a request: nothing special, or an error, which it meets before it is done, or after. */
export type Fault = undefined | { readonly error: Error; readonly done: boolean } | { readonly answer: object }

export interface Wire {
  readonly client: DynamoDBClient
  /** What was asked since it was called last. */
  take(): readonly Request[]
  /** Until it is called again. */
  breakWith(fault: (action: string, input: Readonly<Record<string, unknown>>) => Fault): void
  heal(): void
}

interface Capacity {
  readonly Table?: { readonly CapacityUnits?: number }
  readonly GlobalSecondaryIndexes?: Readonly<Record<string, { readonly CapacityUnits?: number }>>
}

const reading = new Set(['GetItem', 'BatchGetItem', 'Query', 'Scan'])

export function newWire(): Wire {
  const client = newClient()
  let requests: Request[] = []
  const whole = (): Fault => undefined
  let faultOf: Parameters<Wire['breakWith']>[0] = whole

  function keep(action: string, input: Request['input'], output: object | undefined): void {
    const { ConsumedCapacity } = (output ?? {}) as { ConsumedCapacity?: Capacity | readonly Capacity[] }
    const capacities = ([] as Capacity[]).concat(ConsumedCapacity ?? [])
    const table = sum(capacities.map((capacity) => capacity.Table?.CapacityUnits ?? 0))
    const index = sum(
      capacities.flatMap(({ GlobalSecondaryIndexes = {} }) =>
        Object.values(GlobalSecondaryIndexes).map(({ CapacityUnits = 0 }) => CapacityUnits),
      ),
    )
    const units = reading.has(action)
      ? { reads: table + index, writes: 0, indexWrites: 0 }
      : { reads: 0, writes: table, indexWrites: index }
    requests.push({ action, input, ...units })
  }

  client.middlewareStack.add(
    (next, { commandName = '' }) =>
      async (args) => {
        const action = commandName.replace(/Command$/, '')
        const input = args.input as Record<string, unknown>
        if (!/Table/.test(action)) input['ReturnConsumedCapacity'] = 'INDEXES'
        const fault = faultOf(action, input)
        if (fault && 'answer' in fault) {
          keep(action, input, undefined)
          return { output: { $metadata: {}, ...fault.answer }, response: undefined } as never
        }
        if (fault && !fault.done) {
          keep(action, input, undefined)
          throw fault.error
        }
        let output: object | undefined
        try {
          const result = await next(args)
          output = result.output
          if (fault) throw fault.error
          return result
        } finally {
          keep(action, input, output)
        }
      },
    { step: 'initialize', priority: 'low' },
  )

  return {
    client,
    take() {
      const taken = requests
      requests = []
      return taken
    },
    breakWith(fault) {
      faultOf = fault
    },
    heal() {
      faultOf = whole
    },
  }
}

/** As AWS puts it: refused by the service, or failed inside it. */
export function refusal(
  name: string,
  { message = name, status = 400, ...more }: { message?: string; status?: number; CancellationReasons?: object[] } = {},
): Error {
  const $fault = status < 500 ? 'client' : 'server'
  const error = new DynamoDBServiceException({ name, message, $fault, $metadata: { httpStatusCode: status } })
  return Object.assign(error, more)
}

/** As the socket puts it. */
export function lost(code = 'ECONNRESET'): Error {
  return Object.assign(new Error(`socket: ${code}`), { code, $metadata: { attempts: 1, totalRetryDelay: 0 } })
}

export function sum(numbers: readonly number[]): number {
  return numbers.reduce((all, one) => all + one, 0)
}

/** Requests and units together, in the shortest form. */
export function costOf(requests: readonly Request[]): {
  readonly requests: number
  readonly reads: number
  readonly writes: number
  readonly indexWrites: number
} {
  return {
    requests: requests.length,
    reads: sum(requests.map(({ reads }) => reads)),
    writes: sum(requests.map(({ writes }) => writes)),
    indexWrites: sum(requests.map(({ indexWrites }) => indexWrites)),
  }
}
