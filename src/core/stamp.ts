/**
 * The stamp: under which version of its type an event was written, in `meta.$version`. Events of types that nobody has
 * declared have none. It is Daybook's own: writers may not set it, and readers see it only where they ask for events raw.
 */
import { parseContent } from './content.ts'
import { InvalidArgument } from './errors.ts'
import type { Meta, NewEvent } from './event.ts'

const name = '$version'

export function stamped(event: NewEvent, version: number): NewEvent {
  return { ...event, meta: { ...event.meta, [name]: version } }
}

/** 0: before the type was declared, or without a stamp that Daybook could have set. */
export function versionOf(meta: Meta | null): number {
  const version = meta?.[name]
  return typeof version === 'number' && Number.isSafeInteger(version) && version > 0 ? version : 0
}

export function unstamped(meta: Meta | null): Meta | null {
  if (versionOf(meta) === 0) return meta
  const { [name]: _, ...others } = meta ?? {}
  return Object.keys(others).length === 0 ? null : others
}

/** The event of this content, with the stamp of another. */
export function restamped(content: string, version: number): NewEvent {
  const { meta, ...event } = parseContent(content)
  const bare = { ...event, meta: unstamped(meta) }
  return version === 0 ? bare : stamped(bare, version)
}

export function refuseStamp(meta: unknown, path: string): void {
  if (typeof meta !== 'object' || meta === null || !Object.hasOwn(meta, name)) return
  throw new InvalidArgument(`${path}.${name}`, 'is set by Daybook alone; leave it out')
}
