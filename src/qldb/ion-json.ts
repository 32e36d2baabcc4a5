/** Ion as JSON: each type in one defined form. What JSON cannot say exactly is refused by its place, or written as text. */
import type { Decimal, Timestamp } from 'ion-js'
import { pathText } from '../core/encoding.ts'
import { InvalidArgument } from '../core/errors.ts'
import { comesBack } from '../core/json.ts'
import type { Ion, IonField } from './ion.ts'

/**
 * `exact`: numbers are JSON numbers, and those that a JSON number does not hold are refused. `text`: decimals are texts
 * with all their digits, and so are other numbers that a JSON number does not hold.
 */
export type Numbers = 'exact' | 'text'

export interface Json {
  readonly json: unknown
  /** By place, such as `data.price`; JSON has no annotations of its own. */
  readonly annotations: Readonly<Record<string, readonly string[]>>
}

/** Throws `InvalidArgument` with the place of what JSON cannot say; `root` is how places begin. */
export function jsonOf(value: Ion, { numbers, root }: { numbers: Numbers; root: string }): Json {
  const annotations: [string, readonly string[]][] = []
  const path: (string | number)[] = []
  const place = () => pathText(root, path)

  const within = (step: string | number, inner: Ion): unknown => {
    path.push(step)
    const json = write(inner)
    path.pop()
    return json
  }

  const write = (inner: Ion): unknown => {
    if (inner.annotations.length > 0) annotations.push([place(), inner.annotations])
    switch (inner.type) {
      case 'null':
        return null
      case 'bool':
      case 'string':
      case 'symbol':
        return inner.value
      case 'int':
        return numberOf(`${inner.value}`, { numbers, place })
      case 'float':
        return floatOf(inner.value, { numbers, place })
      case 'decimal':
        return numbers === 'text' ? decimalText(inner.value) : numberOf(decimalDigits(inner.value), { numbers, place })
      case 'timestamp':
        return timestampText(inner.value)
      case 'blob':
        return Buffer.from(inner.value).toString('base64')
      case 'clob':
        return Buffer.from(inner.value).toString('latin1')
      case 'list':
      case 'sexp':
        return inner.items.map((item, at) => within(at, item))
      case 'struct':
        return Object.fromEntries(
          onceEach(inner.fields, place).map(({ name, value }) => [name, within(name, value)] as const),
        )
    }
  }

  const json = write(value)
  return { json, annotations: Object.fromEntries(annotations) }
}

interface Writing {
  readonly numbers: Numbers
  readonly place: () => string
}

function numberOf(digits: string, { numbers, place }: Writing): number | string {
  if (comesBack(digits)) return Number(digits)
  if (numbers === 'text') return digits
  throw new InvalidArgument(place(), `is ${digits}, which a number cannot hold exactly; import numbers as text`)
}

function floatOf(value: number, { numbers, place }: Writing): number | string {
  if (Number.isFinite(value)) return value
  const text = Number.isNaN(value) ? 'nan' : value > 0 ? '+inf' : '-inf'
  if (numbers === 'text') return text
  throw new InvalidArgument(place(), `is ${text}, which JSON cannot say; import numbers as text`)
}

function decimalDigits(value: Decimal): string {
  return `${value.isNegative() ? '-' : ''}${absolute(value.getCoefficient())}e${value.getExponent()}`
}

/** All digits: `90.250`, `1E+3`, `1.5E-9`. Two texts are equal where the decimals are, with their precision. */
function decimalText(value: Decimal): string {
  const sign = value.isNegative() ? '-' : ''
  const digits = `${absolute(value.getCoefficient())}`
  const exponent = value.getExponent()
  const ofFirst = digits.length - 1 + exponent
  if (exponent > 0 || ofFirst < smallestPlain) {
    const rest = digits.slice(1)
    return `${sign}${digits.slice(0, 1)}${rest && `.${rest}`}E${ofFirst < 0 ? '' : '+'}${ofFirst}`
  }
  if (exponent === 0) return `${sign}${digits}`
  const padded = digits.padStart(1 - exponent, '0')
  return `${sign}${padded.slice(0, exponent)}.${padded.slice(exponent)}`
}

/** The power of ten of a first digit from which on decimals are written without one. */
const smallestPlain = -6

function absolute(value: bigint): bigint {
  return value < 0n ? -value : value
}

/** `2019`, `2019-10`, `2019-10-25`, `2019-10-25T17:20:21.009Z`: as Ion writes it, without the `T` of a date. */
function timestampText(value: Timestamp): string {
  return value.toString().replace(/T$/, '')
}

function onceEach(fields: readonly IonField[], place: () => string): readonly IonField[] {
  const names = new Set<string>()
  for (const { name } of fields) {
    if (names.has(name)) throw new InvalidArgument(pathText(place(), [name]), 'stands twice in its struct')
    names.add(name)
  }
  return fields
}
