/** One bit of what SQLite has of an event, changed by somebody who can write to the file. */
import type { DatabaseSync } from 'node:sqlite'

export function flip(
  db: DatabaseSync,
  { column, position, bit }: { readonly column: string; readonly position: number; readonly bit: number },
): void {
  const { value } = db.prepare(`SELECT CAST(${column} AS BLOB) AS value FROM log WHERE position = ?`).get(position) as {
    value: Uint8Array
  }
  const bytes = new Uint8Array(value)
  const at = (bit >> 3) % bytes.length
  bytes[at] = (bytes[at] ?? 0) ^ (1 << (bit & 7))
  const type = column === 'content' ? 'TEXT' : 'BLOB'
  db.prepare(`UPDATE log SET ${column} = CAST(? AS ${type}) WHERE position = ?`).run(bytes, position)
}
