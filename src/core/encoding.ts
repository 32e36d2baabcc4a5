/**
 * The canonical form (RFC 8785): the one text that a JSON value has. Content is hashed, compared and stored in it, so
 * everything that JSON cannot say exactly is refused here, with its path, alike on every storage.
 */
import { InvalidArgument, LimitExceeded } from './errors.ts'
import { limits } from './limits.ts'

/** Throws `InvalidArgument` with the path of what is no JSON, `LimitExceeded` where it is nested too deep. */
export function canonicalJson(value: unknown, root = 'value'): string {
  const path: (string | number)[] = []
  return write(value, path, root)
}

function write(value: unknown, path: (string | number)[], root: string): string {
  switch (typeof value) {
    case 'string':
      if (!value.isWellFormed()) refuse(root, path, 'is no Unicode text: it holds half of a surrogate pair')
      return JSON.stringify(value)
    case 'number':
      if (!Number.isFinite(value)) refuse(root, path, `is ${value}, which JSON cannot say`)
      return JSON.stringify(value)
    case 'boolean':
      return value ? 'true' : 'false'
    case 'object':
      if (value === null) return 'null'
      if (path.length >= limits.jsonDepth) {
        throw new LimitExceeded(
          { limit: 'jsonDepth', allowed: limits.jsonDepth, actual: path.length + 1 },
          pathText(root, path),
        )
      }
      return Array.isArray(value) ? writeArray(value, path, root) : writeObject(value, path, root)
    case 'bigint':
      return refuse(root, path, 'is a bigint; write it as a string')
    case 'undefined':
      return refuse(root, path, 'is undefined; write null, or leave the property out')
    case 'function':
    case 'symbol':
      return refuse(root, path, `is a ${typeof value}, which JSON cannot say`)
  }
}

function writeArray(items: readonly unknown[], path: (string | number)[], root: string): string {
  let text = '['
  for (let index = 0; index < items.length; index++) {
    path.push(index)
    text += (index === 0 ? '' : ',') + write(items[index], path, root)
    path.pop()
  }
  return `${text}]`
}

/** A property that is undefined counts as left out, as `JSON.stringify` has it. */
function writeObject(value: object, path: (string | number)[], root: string): string {
  const prototype = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) {
    const name = value.constructor?.name ?? 'object'
    refuse(
      root,
      path,
      `is a ${name}, no plain object; ${name === 'Date' ? 'write its toISOString()' : 'write its JSON'}`,
    )
  }
  let text = '{'
  // Keys in order of UTF-16 code units, which is what RFC 8785 asks and what sort() does.
  for (const key of Object.keys(value).sort()) {
    const item = (value as Record<string, unknown>)[key]
    if (item === undefined) continue
    path.push(key)
    if (!key.isWellFormed()) refuse(root, path, 'is no Unicode name: it holds half of a surrogate pair')
    text += `${text === '{' ? '' : ','}${JSON.stringify(key)}:${write(item, path, root)}`
    path.pop()
  }
  return `${text}}`
}

function refuse(root: string, path: readonly (string | number)[], reason: string): never {
  throw new InvalidArgument(pathText(root, path), reason)
}

/** `data.lines[2]["a b"]` */
export function pathText(root: string, path: readonly (string | number)[]): string {
  let text = root
  for (const step of path) {
    if (typeof step === 'number') text += `[${step}]`
    else if (/^[\p{L}_$][\p{L}\p{N}_$]*$/u.test(step)) text += text === '' ? step : `.${step}`
    else text += `[${JSON.stringify(step)}]`
  }
  return text
}

const encoder = new TextEncoder()

export function utf8(text: string): Uint8Array {
  return encoder.encode(text)
}

/** Bytes of the text in UTF-8, without making them. */
export function utf8Length(text: string): number {
  let length = text.length
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index)
    if (unit < 0x80) continue
    // Half of a pair counts 2: a pair is 4 bytes in two units. Everything else above 0x7ff is 3 bytes in one.
    length += unit < 0x800 || (unit >= 0xd800 && unit <= 0xdfff) ? 1 : 2
  }
  return length
}

/** Order by UTF-8 bytes, which is order by code points and not what `<` does (it goes by UTF-16 units). */
export function compareUtf8(left: string, right: string): number {
  const length = Math.min(left.length, right.length)
  for (let index = 0; index < length; index++) {
    const a = left.charCodeAt(index)
    const b = right.charCodeAt(index)
    if (a !== b) return rank(a) - rank(b)
  }
  return left.length - right.length
}

/** Surrogates stand for code points above every other unit's. */
function rank(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit
}

/** Characters as a reader counts them: Unicode code points. */
export function characters(text: string): number {
  let pairs = 0
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index)
    if (unit >= 0xd800 && unit <= 0xdbff) pairs++
  }
  return text.length - pairs
}
