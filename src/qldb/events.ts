/** What a block becomes: documents are streams, revisions are events, and a transaction is one append. */
import type { StreamEvents } from '../core/append.ts'
import { InvalidArgument } from '../core/errors.ts'
import type { NewEvent } from '../core/event.ts'
import { derivedId } from '../core/id.ts'
import { checkStreamType } from '../core/name.ts'
import { parseInstant } from '../core/time.ts'
import type { Block, DocumentInfo, RevisionBody } from './block.ts'
import { jsonOf, type Numbers } from './ion-json.ts'

export interface Mapping {
  /** By table name; other tables follow the rule of `typeOf`. */
  readonly streamTypes: ReadonlyMap<string, string>
  readonly numbers: Numbers
  /** Whether events tell by which statements they came about; those may hold data of other documents. */
  readonly statements: 'kept' | 'left out'
}

/** Gives what a block's user revisions are, in their order; throws `InvalidArgument` with the place of what cannot be said. */
export function createMapper(
  mapping: Mapping,
): (block: Block, unproven: ReadonlySet<number>) => readonly StreamEvents[] {
  /** By stream type. */
  const tables = new Map<string, string>()

  const streamTypeOf = (table: string, path: string): string => {
    const mapped = mapping.streamTypes.get(table)
    if (mapped !== undefined) return mapped
    const type = typeOf(table)
    checkStreamType(type, path)
    const other = tables.get(type) ?? table
    tables.set(type, other)
    if (other === table) return type
    throw new InvalidArgument(path, `${table} and ${other} would both become ${type}; map one of them`)
  }

  return (block, unproven) => {
    const streams = new Map<string, NewEvent[]>()
    for (const [at, { hash, body }] of block.revisions.entries()) {
      const document = body && block.transaction?.documents.get(body.id)
      if (!document) continue
      const streamType = streamTypeOf(document.tableName, `transactionInfo.documents.${body.id}.tableName`)
      const stream = `${streamType}/${body.id}`
      const events = streams.get(stream) ?? []
      streams.set(stream, events)
      const given = { block, hash, body, document, streamType, path: `revisions[${at}]` }
      events.push(eventOf({ ...given, proven: !unproven.has(at) }, mapping))
    }
    return [...streams].map(([stream, events]) => ({ stream, events }))
  }
}

/** `VehicleRegistration` and `vehicle_registration` are `vehicle-registration`. */
export function typeOf(table: string): string {
  return wordsOf(table).join('-').toLowerCase()
}

/** `vehicle-registration` and `VehicleRegistration` are `VehicleRegistration`. */
function nounOf(name: string): string {
  return wordsOf(name)
    .map((word) => word.slice(0, 1).toUpperCase() + word.slice(1))
    .join('')
}

function wordsOf(name: string): readonly string[] {
  return name
    .replaceAll(/([a-z0-9])([A-Z])|([A-Z])(?=[A-Z][a-z])/g, '$1$3_$2')
    .split(/[^A-Za-z0-9]+/)
    .filter((word) => word !== '')
}

interface Given {
  readonly block: Block
  readonly hash: Uint8Array
  readonly body: RevisionBody
  readonly document: DocumentInfo
  readonly streamType: string
  readonly proven: boolean
  readonly path: string
}

function eventOf({ block, hash, body, document, streamType, proven, path }: Given, mapping: Mapping): NewEvent {
  const { id, version, data, dataHash, txTime } = body
  parseInstant(txTime, `${path}.metadata.txTime`)
  const { tableName, tableId } = document
  const { json, annotations } = data
    ? jsonOf(data, { numbers: mapping.numbers, root: 'data' })
    : { json: null, annotations: {} }
  const noun = nounOf(mapping.streamTypes.has(tableName) ? streamType : tableName)
  return {
    id: derivedId(['qldb', id, version]),
    type: `${noun}${verbOf(body)}`,
    data: json,
    meta: {
      occurredAt: txTime,
      qldb: {
        table: tableName,
        tableId,
        version,
        strandId: block.strandId,
        sequenceNo: block.sequenceNo,
        transactionId: block.transactionId,
        hash: base64(hash),
        ...(!proven && { proven }),
        ...(dataHash && { dataHash: base64(dataHash) }),
        ...(mapping.statements === 'kept' && { statements: statementsOf(block, document) }),
        ...(Object.keys(annotations).length > 0 && { annotations }),
      },
    },
  }
}

function verbOf({ version, data, dataHash }: RevisionBody): string {
  if (dataHash !== undefined) return 'Redacted'
  if (data === undefined) return 'Deleted'
  return version === 0 ? 'Inserted' : 'Updated'
}

function statementsOf({ transaction }: Block, { statements }: DocumentInfo): readonly unknown[] {
  return statements.flatMap((at) => transaction?.statements[at] ?? [])
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64')
}
