/**
 * JSON text from outside. `JSON.parse` silently keeps the last of two equal keys and rounds numbers that a double
 * cannot hold; a system of record must not. The text is parsed by it all the same (it is fast and strict), and then
 * walked once for these two and for the depth.
 */
import { pathText } from './encoding.ts'
import { InvalidArgument, LimitExceeded } from './errors.ts'
import { limits } from './limits.ts'

/** Throws `InvalidArgument` (what, and its path) where the text is no JSON, or says what would not come back. */
export function parseJson(text: string, root = 'value'): unknown {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new InvalidArgument(root, `is no JSON: ${error instanceof Error ? error.message : String(error)}`)
  }
  walk(text, root)
  return value
}

/** An open array or object: its keys so far (null: an array) and where in it the walk stands. */
interface Frame {
  readonly keys: Set<string> | null
  key: string
  index: number
}

const quote = 0x22
const backslash = 0x5c
const number = /-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/y

/** The text is JSON already, so that only what matters here needs to be looked at. */
function walk(text: string, root: string): void {
  const frames: Frame[] = []
  let at = 0
  let expectsKey = false
  while (at < text.length) {
    const unit = text.charCodeAt(at)
    if (unit === quote) {
      const end = stringEnd(text, at)
      const frame = frames.at(-1)
      if (expectsKey && frame?.keys) {
        frame.key = keyOf(text.slice(at, end))
        if (frame.keys.has(frame.key)) throw new InvalidArgument(where(root, frames), 'stands twice in its object')
        frame.keys.add(frame.key)
        expectsKey = false
      }
      at = end
      continue
    }
    if (unit === 0x7b || unit === 0x5b) {
      frames.push({ keys: unit === 0x7b ? new Set() : null, key: '', index: 0 })
      if (frames.length > limits.jsonDepth) {
        const facts = { limit: 'jsonDepth', allowed: limits.jsonDepth, actual: frames.length }
        throw new LimitExceeded(facts, where(root, frames.slice(0, -1)))
      }
      expectsKey = unit === 0x7b
    } else if (unit === 0x7d || unit === 0x5d) {
      frames.pop()
      expectsKey = false
    } else if (unit === 0x2c) {
      const frame = frames.at(-1)
      if (frame) frame.index++
      expectsKey = frame?.keys != null
    } else if (unit === 0x2d || (unit >= 0x30 && unit <= 0x39)) {
      number.lastIndex = at
      const digits = number.exec(text)?.[0] ?? ''
      if (!comesBack(digits)) {
        const reason = `is ${shorten(digits)}, which a number cannot hold exactly; write it as a string`
        throw new InvalidArgument(where(root, frames), reason)
      }
      at += digits.length
      continue
    }
    at++
  }
}

function stringEnd(text: string, start: number): number {
  let at = start + 1
  while (text.charCodeAt(at) !== quote) at += text.charCodeAt(at) === backslash ? 2 : 1
  return at + 1
}

function keyOf(quoted: string): string {
  return quoted.includes('\\') ? (JSON.parse(quoted) as string) : quoted.slice(1, -1)
}

function where(root: string, frames: readonly Frame[]): string {
  return pathText(
    root,
    frames.map((frame) => (frame.keys === null ? frame.index : frame.key)),
  )
}

/** True where printing the double gives the same decimal value: 19.99 and 1.50 do, 9007199254740993 and 1e400 do not. */
export function comesBack(digits: string): boolean {
  if (digits.length <= 15 && !/[eE]/.test(digits)) return true
  return decimal(digits) === decimal(String(Number(digits)))
}

/** One spelling for each decimal value: significant digits and the exponent of the last of them. */
function decimal(digits: string): string {
  const [mantissa = '', exponent = '0'] = digits.toLowerCase().split('e')
  const [whole = '', fraction = ''] = mantissa.replace('-', '').split('.')
  const all = whole + fraction
  let first = 0
  while (first < all.length && all[first] === '0') first++
  let end = all.length
  while (end > first && all[end - 1] === '0') end--
  if (first === end) return '0'
  const scale = Number(exponent) - fraction.length + (all.length - end)
  return `${mantissa.startsWith('-') ? '-' : ''}${all.slice(first, end)}e${scale}`
}

function shorten(digits: string): string {
  return digits.length <= 40 ? digits : `${digits.slice(0, 40)}…`
}
