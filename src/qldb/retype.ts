/**
 * Blocks of an export in JSON as they were in Ion, as far as it is known what they were: what QLDB's own fields hold is. What
 * a document held is not: of its text nobody can tell whether it was a blob, a timestamp or a symbol.
 */
import { Timestamp } from 'ion-js'
import type { Ion } from './ion.ts'

type Form = 'blob' | 'timestamp' | readonly [Form] | { readonly [name: string]: Form }

/** By Amazon's description of an export; other fields of QLDB's are texts and whole numbers, which JSON has too. */
const block: Form = {
  ...{ blockTimestamp: 'timestamp', blockHash: 'blob', entriesHash: 'blob', previousBlockHash: 'blob' },
  entriesHashList: ['blob'],
  transactionInfo: { statements: [{ startTime: 'timestamp', statementDigest: 'blob' }] },
  revisions: [{ hash: 'blob', dataHash: 'blob', metadata: { txTime: 'timestamp' } }],
}

export function retyped(value: Ion): Ion {
  return typed(value, block)
}

function typed(value: Ion, form: Form): Ion {
  if (form === 'blob') return value.type === 'string' ? blobOf(value) : value
  if (form === 'timestamp') return value.type === 'string' ? timestampOf(value) : value
  if (isList(form)) {
    const [inner] = form
    return value.type === 'list' ? { ...value, items: value.items.map((item) => typed(item, inner)) } : value
  }
  if (value.type !== 'struct') return value
  const fields = value.fields.map(({ name, value: inner }) => {
    const known = Object.hasOwn(form, name) ? form[name] : undefined
    return { name, value: known === undefined ? inner : typed(inner, known) }
  })
  return { ...value, fields }
}

function isList(form: Form): form is readonly [Form] {
  return Array.isArray(form)
}

/** What is no base64 stays a text, and is refused where a blob must be. */
function blobOf(text: Ion & { readonly type: 'string' | 'symbol' }): Ion {
  const bytes = Buffer.from(text.value, 'base64')
  return bytes.toString('base64') === text.value ? { annotations: [], type: 'blob', value: bytes } : text
}

function timestampOf(text: Ion & { readonly type: 'string' | 'symbol' }): Ion {
  try {
    const value = Timestamp.parse(text.value)
    return value === null ? text : { annotations: [], type: 'timestamp', value }
  } catch {
    return text
  }
}
