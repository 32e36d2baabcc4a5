/**
 * Ion, the format of a QLDB journal, as plain values that keep all its types apart, as its hash needs them. Text or
 * binary: the first bytes tell.
 */
import { type Decimal, makeReader, type Reader, type Timestamp } from 'ion-js'
import { LimitExceeded } from '../core/errors.ts'
import { limits } from '../core/limits.ts'

export type Ion = { readonly annotations: readonly string[] } & (
  | { readonly type: 'null'; readonly of: IonType }
  | { readonly type: 'bool'; readonly value: boolean }
  | { readonly type: 'int'; readonly value: bigint }
  | { readonly type: 'float'; readonly value: number }
  | { readonly type: 'decimal'; readonly value: Decimal }
  | { readonly type: 'timestamp'; readonly value: Timestamp }
  | { readonly type: 'symbol' | 'string'; readonly value: string }
  | { readonly type: 'clob' | 'blob'; readonly value: Uint8Array }
  | { readonly type: 'list' | 'sexp'; readonly items: readonly Ion[] }
  | IonStruct
)

export interface IonStruct {
  readonly annotations: readonly string[]
  readonly type: 'struct'
  /** A name may stand more than once. */
  readonly fields: readonly IonField[]
}

export interface IonField {
  readonly name: string
  readonly value: Ion
}

export type IonType = Ion['type']

export interface ReadIon {
  readonly value: Ion
  /** Where it ends: bytes in binary, UTF-16 units in text. */
  readonly end: number
}

/** Yields the values one after the other; throws an error of any kind at the first that is no Ion. */
export function* readIon(bytes: Uint8Array): Generator<ReadIon> {
  const source = isBinary(bytes) ? bytes : new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  const reader = makeReader(source)
  while (reader.next() !== null) {
    const value = readValue(reader, { size: source.length, depth: 1 })
    yield { value, end: reader.position() }
  }
}

export function isBinary(bytes: Uint8Array): boolean {
  return [0xe0, 0x01, 0x00, 0xea].every((byte, at) => bytes[at] === byte)
}

interface Bounds {
  readonly size: number
  readonly depth: number
}

function readValue(reader: Reader, { size, depth }: Bounds): Ion {
  if (depth > limits.ionDepth) {
    throw new LimitExceeded({ limit: 'ionDepth', allowed: limits.ionDepth, actual: depth }, 'a value')
  }
  // A length that lies would have the reader go on through what is not there.
  if (reader.position() > size) throw new Error('it ends in the middle of a value')
  const annotations = reader.annotations()
  const type = reader.type()?.name as IonType
  if (reader.isNull()) return { annotations, type: 'null', of: type }
  switch (type) {
    case 'bool':
      return { annotations, type, value: held(reader.booleanValue()) }
    case 'int':
      return { annotations, type, value: held(reader.bigIntValue()) }
    case 'float':
      return { annotations, type, value: held(reader.numberValue()) }
    case 'decimal':
      return { annotations, type, value: held(reader.decimalValue()) }
    case 'timestamp':
      return { annotations, type, value: held(reader.timestampValue()) }
    case 'symbol':
    case 'string':
      return { annotations, type, value: held(reader.stringValue()) }
    case 'clob':
    case 'blob':
      return { annotations, type, value: held(reader.uInt8ArrayValue()) }
    case 'list':
    case 'sexp':
      return { annotations, type, items: readInner(reader, { size, depth: depth + 1 }).map(({ value }) => value) }
    case 'struct':
      return { annotations, type, fields: readInner(reader, { size, depth: depth + 1 }) }
    case 'null':
      throw new Error('a null has a value')
  }
}

function readInner(reader: Reader, bounds: Bounds): readonly IonField[] {
  const inner: IonField[] = []
  reader.stepIn()
  while (reader.next() !== null) {
    const name = reader.fieldName() ?? ''
    inner.push({ name, value: readValue(reader, bounds) })
  }
  reader.stepOut()
  return inner
}

function held<Value>(value: Value | null): Value {
  if (value === null) throw new Error('a value cannot be read')
  return value
}
