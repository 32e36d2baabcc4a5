/** Fields of an Ion struct by name and type. What is missing, or is something else, is refused by its place. */
import { InvalidArgument } from '../core/errors.ts'
import type { Ion, IonStruct } from './ion.ts'

export interface Fields {
  readonly path: string
  readonly byName: ReadonlyMap<string, Ion>
}

/** Throws where the value is no struct, or has two fields of one name. */
export function fieldsOf(value: Ion, path: string): Fields {
  const byName = new Map<string, Ion>()
  for (const { name, value: inner } of structOf(value, path).fields) {
    if (byName.has(name)) throw new InvalidArgument(inside(path, name), 'stands twice in its struct')
    byName.set(name, inner)
  }
  return { path, byName }
}

/** A null, of whatever type, counts as left out. */
export function fieldOf({ byName }: Fields, name: string): Ion | undefined {
  const value = byName.get(name)
  return value?.type === 'null' ? undefined : value
}

export function structAt(fields: Fields, name: string): IonStruct {
  return structOf(needed(fields, name), inside(fields.path, name))
}

export function textAt(fields: Fields, name: string): string {
  const value = needed(fields, name)
  if (value.type === 'string' || value.type === 'symbol') return value.value
  throw new InvalidArgument(inside(fields.path, name), 'must be a string')
}

/** A whole number from 0. */
export function ordinalAt(fields: Fields, name: string): number {
  return ordinalOf(needed(fields, name), inside(fields.path, name))
}

export function ordinalOf(value: Ion, path: string): number {
  if (value.type === 'int' && value.value >= 0n && value.value <= Number.MAX_SAFE_INTEGER) return Number(value.value)
  throw new InvalidArgument(path, 'must be a whole number from 0')
}

/** As Ion writes it: with all digits of its seconds, and its offset. */
export function instantAt(fields: Fields, name: string): string {
  const value = needed(fields, name)
  if (value.type === 'timestamp') return value.value.toString()
  throw new InvalidArgument(inside(fields.path, name), 'must be a timestamp')
}

export function hashAt(fields: Fields, name: string): Uint8Array {
  return hashOf(needed(fields, name), inside(fields.path, name))
}

/** 32 bytes; none at all stand for what comes before the first block. */
export function hashOf(value: Ion, path: string): Uint8Array {
  if (value.type === 'blob' && (value.value.length === hashBytes || value.value.length === 0)) return value.value
  throw new InvalidArgument(path, `must be a blob of ${hashBytes} bytes`)
}

export const hashBytes = 32

export function itemsAt(fields: Fields, name: string): readonly Ion[] {
  const value = fieldOf(fields, name)
  if (value === undefined) return []
  if (value.type === 'list') return value.items
  throw new InvalidArgument(inside(fields.path, name), 'must be a list')
}

function needed(fields: Fields, name: string): Ion {
  const value = fieldOf(fields, name)
  if (value === undefined) throw new InvalidArgument(inside(fields.path, name), 'is missing')
  return value
}

function structOf(value: Ion, path: string): IonStruct {
  if (value.type === 'struct') return value
  throw new InvalidArgument(path === '' ? 'it' : path, 'must be a struct')
}

function inside(path: string, name: string): string {
  return path === '' ? name : `${path}.${name}`
}
