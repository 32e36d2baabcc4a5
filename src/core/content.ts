/** The canonical content of an event, `[id, type, tags, data, meta]`: made once, stored, hashed and compared as this text. */
import { canonicalJson } from './encoding.ts'
import type { Meta } from './event.ts'
import { endOfValue, type JsonPlace } from './json-places.ts'

export interface Content {
  readonly id: string
  readonly type: string
  readonly tags: readonly string[]
  readonly data: unknown
  readonly meta: Meta | null
}

/** `tags` unique and sorted; data that is absent is null. `path` is where the event stands, for what JSON cannot say. */
export function contentOf({ id, type, tags, data, meta }: Content, path: string): string {
  const texts = tags.length === 0 ? '' : tags.map((tag) => JSON.stringify(tag)).join(',')
  const dataText = data === undefined ? 'null' : canonicalJson(data, `${path}.data`)
  const metaText = meta === null ? 'null' : canonicalJson(meta, `${path}.meta`)
  return `[${JSON.stringify(id)},${JSON.stringify(type)},[${texts}],${dataText},${metaText}]`
}

export function parseContent(content: string): Content {
  const parts = JSON.parse(content) as [string, string, string[], unknown, Meta | null]
  return { id: parts[0], type: parts[1], tags: parts[2], data: parts[3], meta: parts[4] }
}

/** Where the data stands in it. */
export function dataPlace(content: string): JsonPlace {
  const id = endOfValue(content, 1)
  const type = endOfValue(content, id + 1)
  const tags = endOfValue(content, type + 1)
  return { at: tags + 1, end: endOfValue(content, tags + 1) }
}
