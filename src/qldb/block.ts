/** A block of a QLDB journal, as an export has it: one transaction with its statements, and the revisions that it made. */
import {
  type Fields,
  fieldOf,
  fieldsOf,
  hashAt,
  hashOf,
  instantAt,
  itemsAt,
  ordinalAt,
  ordinalOf,
  structAt,
  textAt,
} from './fields.ts'
import type { Ion, IonStruct } from './ion.ts'

export interface Block {
  readonly strandId: string
  readonly sequenceNo: number
  readonly transactionId: string
  readonly blockHash: Uint8Array
  readonly entriesHash: Uint8Array
  /** Empty in the first block of a journal. */
  readonly previousBlockHash: Uint8Array
  readonly entriesHashList: readonly Uint8Array[]
  /** QLDB's own blocks have none. */
  readonly transaction?: TransactionInfo
  readonly redaction?: RedactionInfo
  readonly revisions: readonly Revision[]
}

export interface TransactionInfo {
  readonly ion: Ion
  readonly statements: readonly Statement[]
  /** What the statements have changed, by document id. */
  readonly documents: ReadonlyMap<string, DocumentInfo>
}

export interface Statement {
  readonly statement: string
  readonly startTime: string
}

export interface DocumentInfo {
  readonly tableName: string
  readonly tableId: string
  /** Indexes of statements. */
  readonly statements: readonly number[]
}

export interface RedactionInfo {
  readonly ion: Ion
  readonly documents: ReadonlySet<string>
}

export interface Revision {
  readonly hash: Uint8Array
  /** QLDB's own revisions are a hash and nothing else. */
  readonly body?: RevisionBody
}

export interface RevisionBody {
  readonly strandId: string
  readonly sequenceNo: number
  readonly metadata: Ion
  readonly id: string
  readonly version: number
  readonly txTime: string
  readonly txId: string
  /** Absent where the document was deleted, or the revision redacted. */
  readonly data?: IonStruct
  /** Of what a redaction has taken away. */
  readonly dataHash?: Uint8Array
}

/** Throws `InvalidArgument` with the place in the block of what is missing or of a wrong type. */
export function blockOf(ion: Ion): Block {
  const fields = fieldsOf(ion, '')
  const transactionInfo = fieldOf(fields, 'transactionInfo')
  const redactionInfo = fieldOf(fields, 'redactionInfo')
  return {
    ...addressOf(fields),
    transactionId: textAt(fields, 'transactionId'),
    blockHash: hashAt(fields, 'blockHash'),
    entriesHash: hashAt(fields, 'entriesHash'),
    previousBlockHash: hashAt(fields, 'previousBlockHash'),
    entriesHashList: itemsAt(fields, 'entriesHashList').map((item, at) => hashOf(item, `entriesHashList[${at}]`)),
    ...(transactionInfo && { transaction: transactionOf(transactionInfo) }),
    ...(redactionInfo && { redaction: redactionOf(redactionInfo) }),
    revisions: itemsAt(fields, 'revisions').map((item, at) => revisionOf(fieldsOf(item, `revisions[${at}]`))),
  }
}

function addressOf(of: Fields): Pick<Block, 'strandId' | 'sequenceNo'> {
  const path = of.path === '' ? 'blockAddress' : `${of.path}.blockAddress`
  const address = fieldsOf(structAt(of, 'blockAddress'), path)
  return { strandId: textAt(address, 'strandId'), sequenceNo: ordinalAt(address, 'sequenceNo') }
}

function transactionOf(ion: Ion): TransactionInfo {
  const fields = fieldsOf(ion, 'transactionInfo')
  const statements = itemsAt(fields, 'statements').map((item, at): Statement => {
    const statement = fieldsOf(item, `transactionInfo.statements[${at}]`)
    return { statement: textAt(statement, 'statement'), startTime: instantAt(statement, 'startTime') }
  })
  const documents = fieldOf(fields, 'documents')
  const byId = documents ? fieldsOf(documents, 'transactionInfo.documents').byName : []
  return {
    ion,
    statements,
    documents: new Map([...byId].map(([id, item]) => [id, documentOf(item, `transactionInfo.documents.${id}`)])),
  }
}

function documentOf(item: Ion, path: string): DocumentInfo {
  const fields = fieldsOf(item, path)
  return {
    tableName: textAt(fields, 'tableName'),
    tableId: textAt(fields, 'tableId'),
    statements: itemsAt(fields, 'statements').map((index, at) => ordinalOf(index, `${path}.statements[${at}]`)),
  }
}

function redactionOf(ion: Ion): RedactionInfo {
  const redacted = itemsAt(fieldsOf(ion, 'redactionInfo'), 'revisions')
  const idOf = (item: Ion, at: number) => textAt(fieldsOf(item, `redactionInfo.revisions[${at}]`), 'documentId')
  return { ion, documents: new Set(redacted.map(idOf)) }
}

function revisionOf(fields: Fields): Revision {
  const hash = hashAt(fields, 'hash')
  const parts = ['blockAddress', 'metadata', 'data', 'dataHash']
  if (parts.every((name) => fieldOf(fields, name) === undefined)) return { hash }
  const metadata = structAt(fields, 'metadata')
  const inner = fieldsOf(metadata, `${fields.path}.metadata`)
  return {
    hash,
    body: {
      ...addressOf(fields),
      metadata,
      id: textAt(inner, 'id'),
      version: ordinalAt(inner, 'version'),
      txTime: instantAt(inner, 'txTime'),
      txId: textAt(inner, 'txId'),
      ...(fieldOf(fields, 'data') && { data: structAt(fields, 'data') }),
      ...(fieldOf(fields, 'dataHash') && { dataHash: hashAt(fields, 'dataHash') }),
    },
  }
}
