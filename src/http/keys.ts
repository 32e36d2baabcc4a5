/**
 * API keys, as documents of the store. A key is shown once, when it is made; what is kept is a hash, which is enough
 * because a key's secret is 32 random bytes: nobody can guess one, so a slow hash would protect nothing.
 */
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex } from '@noble/hashes/utils.js'
import { errorOf } from '../core/append.ts'
import { deleteDocument, indexQuery, putDocument } from '../core/document.ts'
import { utf8 } from '../core/encoding.ts'
import { InvalidArgument } from '../core/errors.ts'
import { newId, type Random, secureRandom } from '../core/id.ts'
import { limits } from '../core/limits.ts'
import { checkName } from '../core/name.ts'
import { Unauthenticated } from '../core/request-errors.ts'
import { checkRestored } from '../core/restoring.ts'
import type { CollectionSpec, Document, DocumentWrite, Storage } from '../core/storage.ts'
import { formatInstant, parseInstant } from '../core/time.ts'
import { type Authenticate, checkScope, keyPrefix, type Principal } from './access.ts'

export interface KeyToAdd {
  /** 1 to 200 characters, unique among the keys; stands in the audit line. */
  readonly name: string
  readonly scopes: readonly string[]
  /** RFC 3339; left out, the key does not expire. */
  readonly expiresAt?: string
}

/** What is known of a key; nothing of it opens anything. */
export interface KeyInfo {
  readonly id: string
  readonly name: string
  readonly scopes: readonly string[]
  readonly createdAt: string
  readonly expiresAt: string | null
}

export interface Keys {
  /** `token` is the key itself: shown now and never again. Throws `InvalidArgument`, for a name that is taken too. */
  add(key: KeyToAdd): Promise<KeyInfo & { readonly token: string }>
  /** Whether there ever was a key: from the first one on, a server lets in nobody without one. */
  inUse(): Promise<boolean>
  /** In order of making. */
  list(): Promise<readonly KeyInfo[]>
  /** By name or id. Throws `InvalidArgument` where there is none. Servers take it up within 5 seconds. */
  revoke(nameOrId: string): Promise<KeyInfo>
}

interface StoredKey extends KeyInfo {
  /** SHA-256 of the token, in hex. */
  readonly hash: string
}

const spec: CollectionSpec = {
  collection: '$keys',
  indexes: [
    { name: 'name', equals: ['name'], unique: true },
    { name: 'made', equals: [], order: 'createdAt' },
  ],
}

const tokenPattern = new RegExp(`^${keyPrefix}([0-9a-f]{16})_[0-9a-f]{64}$`)
const idPattern = /^[0-9a-f]{16}$/
/** What stays when the last key is revoked: that must not open the server to everybody. */
const marks: CollectionSpec = { collection: '$access', indexes: [] }
const inUseKey = 'in-use'

export async function openKeys(storage: Storage, clock = Date.now, random: Random = secureRandom()): Promise<Keys> {
  await checkRestored(storage)
  await storage.declare([spec, marks])

  const commit = async (documents: readonly DocumentWrite[]) => {
    const [outcome] = await storage.commit([{ id: newId(random), appends: [], documents }])
    return outcome
  }
  const find = async (index: 'name' | 'made', equals: readonly string[], cursor?: string) =>
    storage.queryDocuments(indexQuery(spec, { index, equals, ...(cursor !== undefined && { cursor }) }))

  return {
    async add({ name, scopes, expiresAt }) {
      checkName(name, 'name', 'key name', limits.eventIdCharacters)
      if (scopes.length === 0) throw new InvalidArgument('scopes', 'must name at least one')
      for (const [index, scope] of scopes.entries()) checkScope(scope, `scopes[${index}]`)
      const ends = expiresAt === undefined ? null : parseInstant(expiresAt, 'expiresAt')
      if (ends !== null && ends <= clock()) throw new InvalidArgument('expiresAt', 'has passed already')
      const id = bytesToHex(random(8))
      const token = `${keyPrefix}${id}_${bytesToHex(random(32))}`
      const createdAt = formatInstant(clock())
      const info: KeyInfo = { id, name, scopes, createdAt, expiresAt: ends === null ? null : formatInstant(ends) }
      const body: StoredKey = { ...info, hash: hashOf(token) }
      const outcome = await commit([
        ...putDocument(spec, { key: id, body, if: { is: 'absent' } }),
        ...putDocument(marks, { key: inUseKey, body: {}, if: { is: 'anything' } }),
      ])
      if (outcome?.outcome === 'document-conflict') throw new InvalidArgument('name', `"${name}" is taken`)
      if (outcome && outcome.outcome !== 'committed') throw errorOf(outcome)
      return { ...info, token }
    },

    async inUse() {
      const [document] = await storage.getDocuments([{ collection: marks.collection, key: inUseKey }])
      return document !== undefined
    },

    async list() {
      const all: KeyInfo[] = []
      for (let cursor: string | undefined; ; ) {
        const { documents, next } = await find('made', [], cursor)
        all.push(...documents.map((document) => infoOf(storedOf(document))))
        if (next === undefined) return all
        cursor = next
      }
    },

    async revoke(nameOrId) {
      const [byId] = idPattern.test(nameOrId)
        ? await storage.getDocuments([{ collection: spec.collection, key: nameOrId }])
        : []
      const document = byId ?? (await find('name', [nameOrId])).documents[0]
      if (document === undefined) throw new InvalidArgument('key', `there is none with the name or id "${nameOrId}"`)
      const previous = storedOf(document)
      const outcome = await commit(deleteDocument(spec, { key: previous.id, previous, if: { is: 'anything' } }))
      if (outcome && outcome.outcome !== 'committed') throw errorOf(outcome)
      return infoOf(previous)
    },
  }
}

/** Knows callers by their keys. What was looked up is remembered for `limits.keyCacheMs`. */
export function keyAccess(storage: Storage, clock = Date.now): Authenticate {
  const known = new Map<string, { readonly key: StoredKey | undefined; readonly readAt: number }>()

  const lookUp = async (id: string) => {
    const cached = known.get(id)
    if (cached !== undefined && clock() - cached.readAt < limits.keyCacheMs) return cached.key
    const [document] = await storage.getDocuments([{ collection: spec.collection, key: id }])
    const key = document && storedOf(document)
    if (known.size >= limits.keyCacheEntries) known.clear()
    known.set(id, { key, readAt: clock() })
    return key
  }

  return async (token): Promise<Principal> => {
    const id = tokenPattern.exec(token)?.[1]
    const key = id === undefined ? undefined : await lookUp(id)
    // Hashed and compared also where there is none, so that the time tells nothing.
    const same = equalInConstantTime(hashOf(token), key?.hash ?? '0'.repeat(64))
    if (key === undefined || !same) throw new Unauthenticated('there is no such API key, or it was revoked')
    if (key.expiresAt !== null && Date.parse(key.expiresAt) <= clock()) {
      throw new Unauthenticated(`the API key expired at ${key.expiresAt}`)
    }
    return { name: `key:${key.name}`, scopes: key.scopes }
  }
}

function equalInConstantTime(a: string, b: string): boolean {
  let difference = a.length ^ b.length
  for (let index = 0; index < a.length; index++) difference |= a.charCodeAt(index) ^ b.charCodeAt(index)
  return difference === 0
}

function hashOf(token: string): string {
  return bytesToHex(sha256(utf8(token)))
}

function storedOf({ body }: Document): StoredKey {
  return JSON.parse(body) as StoredKey
}

function infoOf({ id, name, scopes, createdAt, expiresAt }: StoredKey): KeyInfo {
  return { id, name, scopes, createdAt, expiresAt }
}
