/**
 * The Ion hash (amazon-ion.github.io/ion-hash) by SHA-256: 32 bytes of a value, the same for its text and its binary,
 * and for any order of a struct's fields. Of it are made the hashes of a QLDB journal.
 */
import { hash } from 'node:crypto'
import { makeBinaryWriter, type Writer } from 'ion-js'
import type { Ion, IonField, IonType } from './ion.ts'

export function ionHash(value: Ion): Uint8Array {
  return sha256(serialized(value))
}

export function sha256(bytes: Uint8Array): Uint8Array {
  return hash('sha256', bytes, 'buffer')
}

const beginMark = 0x0b
const escapeMark = 0x0c
const endMark = 0x0e
const annotatedCode = 0xe0
const nullBits = 0x0f

/** The high half of a value's first byte. */
const codes: Readonly<Record<IonType, number>> = {
  null: 0x00,
  bool: 0x10,
  int: 0x20,
  float: 0x40,
  decimal: 0x50,
  timestamp: 0x60,
  symbol: 0x70,
  string: 0x80,
  clob: 0x90,
  blob: 0xa0,
  list: 0xb0,
  sexp: 0xc0,
  struct: 0xd0,
}
const negativeIntCode = 0x30

function serialized(value: Ion): Uint8Array {
  const bare = withoutAnnotations(value)
  if (value.annotations.length === 0) return bare
  return framed(annotatedCode, Buffer.concat([...value.annotations.map(symbolOf), bare]))
}

function withoutAnnotations(value: Ion): Uint8Array {
  const code = codes[value.type]
  switch (value.type) {
    case 'null':
      return framed(codes[value.of] | nullBits, empty)
    case 'bool':
      return framed(code | Number(value.value), empty)
    case 'int':
      return framed(value.value < 0n ? negativeIntCode : code, escaped(magnitudeOf(value.value)))
    case 'float':
      return framed(code, escaped(floatOf(value.value)))
    case 'decimal':
      return framed(code, escaped(contentOf((writer) => writer.writeDecimal(value.value))))
    case 'timestamp':
      return framed(code, escaped(contentOf((writer) => writer.writeTimestamp(value.value))))
    case 'symbol':
    case 'string':
      return framed(code, escaped(Buffer.from(value.value)))
    case 'clob':
    case 'blob':
      return framed(code, escaped(value.value))
    case 'list':
    case 'sexp':
      return framed(code, Buffer.concat(value.items.map(serialized)))
    case 'struct':
      return framed(code, Buffer.concat(value.fields.map(fieldHash).sort(Buffer.compare).map(escaped)))
  }
}

function fieldHash({ name, value }: IonField): Uint8Array {
  return sha256(Buffer.concat([symbolOf(name), serialized(value)]))
}

function symbolOf(text: string): Uint8Array {
  return framed(codes.symbol, escaped(Buffer.from(text)))
}

const empty = new Uint8Array()

function framed(code: number, content: Uint8Array): Uint8Array {
  const whole = new Uint8Array(content.length + 3)
  whole[0] = beginMark
  whole[1] = code
  whole.set(content, 2)
  whole[whole.length - 1] = endMark
  return whole
}

/** Marks in what is framed are told from those of the frame. */
function escaped(bytes: Uint8Array): Uint8Array {
  let marks = 0
  for (let at = 0; at < bytes.length; at++) if (isMark(bytes[at])) marks++
  if (marks === 0) return bytes
  const whole = new Uint8Array(bytes.length + marks)
  let end = 0
  for (const byte of bytes) {
    if (isMark(byte)) whole[end++] = escapeMark
    whole[end++] = byte
  }
  return whole
}

function isMark(byte: number | undefined): boolean {
  return byte === beginMark || byte === escapeMark || byte === endMark
}

function magnitudeOf(value: bigint): Uint8Array {
  if (value === 0n) return empty
  const digits = (value < 0n ? -value : value).toString(16)
  return Buffer.from(digits.padStart(digits.length + (digits.length % 2), '0'), 'hex')
}

/** Always 64 bits, save of 0; there is one NaN. */
function floatOf(value: number): Uint8Array {
  if (Object.is(value, 0)) return empty
  const bytes = Buffer.alloc(8)
  bytes.writeDoubleBE(value)
  return bytes
}

/** What stands behind type and length in Ion's binary form. */
function contentOf(write: (writer: Writer) => void): Uint8Array {
  const writer = makeBinaryWriter()
  write(writer)
  writer.close()
  const bytes = writer.getBytes().subarray(versionMarkBytes)
  if (((bytes[0] ?? 0) & 0x0f) !== lengthFollows) return bytes.subarray(1)
  return bytes.subarray(bytes.findIndex((byte, at) => at > 0 && byte >= lastOfLength) + 1)
}

const versionMarkBytes = 4
const lengthFollows = 0x0e
const lastOfLength = 0x80
