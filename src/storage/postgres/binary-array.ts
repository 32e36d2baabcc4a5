/**
 * Arrays in PostgreSQL's binary form, for parameters that are large or many: `pg` would write them as texts with escapes,
 * which costs more than all else about an append. A header, then each element with its length before it.
 */

const headerBytes = 20
const int4 = { oid: 23, bytes: 4 }
const textOid = 25
const byteaOid = 17

export function textArray(items: readonly string[]): Buffer {
  let bytes = headerBytes
  for (const item of items) bytes += 4 + Buffer.byteLength(item)
  const array = started(textOid, items.length, bytes)
  let at = headerBytes
  for (const item of items) {
    const written = array.write(item, at + 4)
    array.writeInt32BE(written, at)
    at += 4 + written
  }
  return array
}

export function bytesArray(items: readonly Uint8Array[]): Buffer {
  let bytes = headerBytes
  for (const item of items) bytes += 4 + item.length
  const array = started(byteaOid, items.length, bytes)
  let at = headerBytes
  for (const item of items) {
    array.writeInt32BE(item.length, at)
    array.set(item, at + 4)
    at += 4 + item.length
  }
  return array
}

export function intArray(items: readonly number[]): Buffer {
  const each = 4 + int4.bytes
  const array = started(int4.oid, items.length, headerBytes + items.length * each)
  let at = headerBytes
  for (const item of items) {
    array.writeInt32BE(int4.bytes, at)
    array.writeInt32BE(item, at + 4)
    at += each
  }
  return array
}

/** One dimension, no nulls, the oid of the elements; how many there are, counted from 1. */
function started(oid: number, length: number, bytes: number): Buffer {
  const array = Buffer.allocUnsafe(bytes)
  for (const [index, value] of [1, 0, oid, length, 1].entries()) array.writeInt32BE(value, index * 4)
  return array
}
