/**
 * Places in a canonical JSON text, found without parsing it: what is at a JSON Pointer, as the very characters that were
 * hashed. A name steps into an object, a number into a list, `*` into each item or property.
 */
import { InvalidArgument } from './errors.ts'

/** Characters from `at` up to `end`. */
export interface JsonPlace {
  readonly at: number
  readonly end: number
}

/** Throws `InvalidArgument` for a text that is no JSON Pointer. */
export function parsePointer(pointer: string, path: string): readonly string[] {
  if (typeof pointer !== 'string' || !/^(\/([^~/]|~[01])*)*$/.test(pointer)) {
    throw new InvalidArgument(path, 'must be a JSON Pointer such as /address/city, or "" for all of the data')
  }
  return pointer
    .split('/')
    .slice(1)
    .map((name) => name.replaceAll('~1', '/').replaceAll('~0', '~'))
}

/** Where a value that begins at `at` has what the steps lead to; nothing where it has not. */
export function placesAt(text: string, at: number, steps: readonly string[], from = 0): readonly JsonPlace[] {
  const step = steps[from]
  if (step === undefined) return [{ at, end: endOfValue(text, at) }]
  const open = text[at]
  if (open !== '{' && open !== '[') return []
  const found: JsonPlace[] = []
  const named = open === '{' ? JSON.stringify(step) : step
  let next = at + 1
  for (let index = 0; text[next] !== '}' && text[next] !== ']'; index++) {
    let is = open === '[' && named === String(index)
    if (open === '{') {
      const end = endOfText(text, next)
      is = end - next === named.length && text.startsWith(named, next)
      next = end + 1
    }
    if (is && step !== '*') return placesAt(text, next, steps, from + 1)
    if (step === '*') found.push(...placesAt(text, next, steps, from + 1))
    next = endOfValue(text, next)
    if (text[next] === ',') next++
  }
  return found
}

const quote = 0x22
const backslash = 0x5c

/** Just behind the value that begins at `at`. */
export function endOfValue(text: string, at: number): number {
  let depth = 0
  for (let next = at; next < text.length; ) {
    switch (text.charCodeAt(next)) {
      case quote:
        next = endOfText(text, next)
        break
      case 0x5b:
      case 0x7b:
        depth++
        next++
        continue
      case 0x5d:
      case 0x7d:
        if (depth === 0) return next
        depth--
        next++
        break
      case 0x2c:
        if (depth === 0) return next
        next++
        continue
      default:
        next++
        continue
    }
    if (depth === 0) return next
  }
  return text.length
}

/** Just behind the quote that ends the text which begins at `at`. */
function endOfText(text: string, at: number): number {
  for (let end = text.indexOf('"', at + 1); ; end = text.indexOf('"', end + 1)) {
    if (end < 0) return text.length
    let before = end
    while (text.charCodeAt(before - 1) === backslash) before--
    if ((end - before) % 2 === 0) return end + 1
  }
}
