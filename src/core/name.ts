/** Names: what a stream, an event type, an id or a tag may be called. Stream names survive forgetting, so they must hold no personal data. */
import { characters } from './encoding.ts'
import { InvalidArgument } from './errors.ts'
import { limits } from './limits.ts'

/** What is named as stream types are, and is none: consumers, deciders. */
export const plainName = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/
/** The one stream type of Daybook's own: what it has done to the log. Read as any other, and written by Daybook alone. */
export const trailType = '$audit'
export const streamTypePattern = /^(?:\$audit|[A-Za-z0-9][A-Za-z0-9._-]{0,63})$/
const controlCharacter = /\p{Cc}/u

/** Throws `InvalidArgument` unless the name is `type/id` by the rules of `docs/concepts.md`. */
export function checkStream(name: string, path = 'stream'): void {
  if (typeof name !== 'string') throw new InvalidArgument(path, 'must be a text such as "customer/42"')
  const slash = name.indexOf('/')
  if (slash < 0) {
    throw new InvalidArgument(path, `"${shorten(name)}" must be a type and an id with "/" between: customer/42`)
  }
  checkStreamType(name.slice(0, slash), path)
  checkStreamId(name.slice(slash + 1), path)
}

export function checkStreamType(type: string, path = 'stream type'): void {
  if (typeof type !== 'string' || !streamTypePattern.test(type)) {
    const rule = `1 to ${limits.streamTypeCharacters} of A-Z a-z 0-9 . _ - and begin with a letter or digit`
    throw new InvalidArgument(
      path,
      `stream type ${typeof type === 'string' ? JSON.stringify(shorten(type)) : typeof type} must be ${rule}`,
    )
  }
}

export function checkStreamId(id: string, path = 'stream id'): void {
  checkName(id, path, 'stream id', limits.streamIdCharacters)
  if (id.includes('/') || id === '.' || id === '..') {
    throw new InvalidArgument(path, `stream id ${JSON.stringify(id)} must hold no "/" and be neither "." nor ".."`)
  }
}

/** Throws `InvalidArgument` for a stream that Daybook alone writes. */
export function refuseTrail(type: string, path: string): void {
  if (type === trailType)
    throw new InvalidArgument(path, `"${trailType}" is Daybook's own: it can be read, and no more`)
}

/** 1 to `most` characters, none of them a control character. */
export function checkName(name: string, path: string, what: string, most: number): void {
  if (typeof name !== 'string' || name === '') {
    throw new InvalidArgument(path, `${what} must be a text that is not empty`)
  }
  if (!name.isWellFormed()) throw new InvalidArgument(path, `${what} holds half of a surrogate pair`)
  if (name.length > most && characters(name) > most) {
    throw new InvalidArgument(path, `${what} has ${characters(name)} characters; at most ${most} are allowed`)
  }
  if (controlCharacter.test(name)) throw new InvalidArgument(path, `${what} must hold no control characters`)
}

export function streamTypeOf(stream: string): string {
  return stream.slice(0, stream.indexOf('/'))
}

export function checkEventType(type: string, path: string): void {
  checkName(type, path, 'event type', limits.eventTypeCharacters)
  if (type.startsWith('$')) {
    throw new InvalidArgument(path, `event type "${type}" begins with "$", which is Daybook's own`)
  }
}

export function checkEventId(id: string, path: string): void {
  checkName(id, path, 'event id', limits.eventIdCharacters)
}

export function checkTag(tag: string, path: string): void {
  checkName(tag, path, 'tag', limits.tagCharacters)
}

function shorten(text: string): string {
  return text.length <= 80 ? text : `${text.slice(0, 80)}…`
}
