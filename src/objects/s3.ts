/**
 * A bucket as an object store: S3, or what speaks its protocol with conditional writes. A client of the SDK does the work;
 * its credentials, and whatever the options leave open, are the SDK's own settings.
 */
import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3'
import { InvalidArgument } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import {
  checkObjectKey,
  checkObjectQuery,
  isObjectKey,
  type ListedObject,
  type ObjectStore,
  type PutCondition,
  type StoredObject,
} from '../core/object-store.ts'

export interface S3Place {
  readonly bucket: string
  /** Before every key, with "/" between. Default none. */
  readonly prefix?: string
  readonly region?: string
  /** Of a server that is not AWS's own, as `http://localhost:9000`; the bucket is then the first part of the path. */
  readonly endpoint?: string
  /** A client of the SDK, which stays open when the object store is closed; its region and endpoint count. */
  readonly client?: S3Client
}

/**
 * The bucket must be there. It needs no permissions but to get, put, delete and list objects; to get their retention, where
 * reports of forgetting are to tell until when the bucket keeps what was deleted; to put it, where digests are published, and the
 * bucket must have been made with Object Lock then.
 */
export function s3Objects({ bucket, prefix, region, endpoint, client }: S3Place): ObjectStore {
  if (typeof bucket !== 'string' || bucket === '') throw new InvalidArgument('bucket', 'must be the name of a bucket')
  if (prefix !== undefined) checkObjectKey(prefix)
  const s3 =
    client ??
    new S3Client({
      ...(region !== undefined && { region }),
      ...(endpoint !== undefined && { endpoint, forcePathStyle: true }),
      requestHandler: { connectionTimeout: limits.s3SilenceMs, socketTimeout: limits.s3SilenceMs },
    })
  const before = prefix === undefined ? '' : `${prefix}/`
  const placeOf = (key: string) => {
    checkObjectKey(key)
    return { Bucket: bucket, Key: before + key }
  }
  async function get(key: string): Promise<StoredObject | undefined> {
    const place = placeOf(key)
    try {
      const { Body, ETag = '' } = await s3.send(new GetObjectCommand(place))
      return { bytes: (await Body?.transformToByteArray()) ?? new Uint8Array(), etag: ETag }
    } catch (error) {
      // Another 404 is of somebody who knows nothing of objects.
      if (nameOf(error) === 'NoSuchKey') return undefined
      throw error
    }
  }

  return {
    name: `s3://${bucket}/${prefix ?? ''}`,
    async put(key, bytes, condition) {
      const place = placeOf(key)
      try {
        const { ETag = '' } = await s3.send(new PutObjectCommand({ ...place, Body: bytes, ...guardOf(condition) }))
        return { outcome: 'written', etag: ETag }
      } catch (error) {
        if (condition === undefined || !isLost(error, condition)) throw error
        // Where an answer got lost the SDK has tried again, and may have lost to itself.
        const there = wasRepeated(error) ? await get(key) : undefined
        return there && equalBytes(there.bytes, bytes)
          ? { outcome: 'written', etag: there.etag }
          : { outcome: 'conflict' }
      }
    },
    get,
    async list(query) {
      checkObjectQuery(query)
      const { prefix: within, after, limit } = query
      const objects: ListedObject[] = []
      let from = after === undefined ? undefined : before + after
      for (let more = true; more; ) {
        const range = { Prefix: before + within, ...(from !== undefined && { StartAfter: from }) }
        const MaxKeys = limit - objects.length
        const page = await s3.send(new ListObjectsV2Command({ Bucket: bucket, ...range, MaxKeys }))
        const { Contents = [] } = page
        for (const { Key = '', Size = 0 } of Contents) {
          const key = Key.slice(before.length)
          if (isObjectKey(key)) objects.push({ key, bytes: Size })
          from = Key
        }
        more = page.IsTruncated === true && Contents.length > 0
        if (objects.length === limit) return { objects, more }
      }
      return { objects, more: false }
    },
    async delete(key) {
      await s3.send(new DeleteObjectCommand(placeOf(key)))
    },
    async keeps(key) {
      try {
        const { VersionId, ObjectLockRetainUntilDate: until } = await s3.send(new HeadObjectCommand(placeOf(key)))
        if (VersionId === undefined || VersionId === 'null') return undefined
        return until === undefined ? {} : { until: until.toISOString() }
      } catch (error) {
        if (statusOf(error) === 404) return undefined
        throw error
      }
    },
    async close() {
      if (client === undefined) s3.destroy()
    },
  }
}

function guardOf(condition: PutCondition | undefined) {
  if (condition === undefined) return {}
  if (condition.if === 'unchanged') return { IfMatch: condition.etag }
  const { retainUntil } = condition
  return {
    IfNoneMatch: '*',
    // Not even the account's owner can shorten it.
    ...(retainUntil !== undefined && {
      ObjectLockMode: 'COMPLIANCE' as const,
      ObjectLockRetainUntilDate: new Date(retainUntil),
    }),
  }
}

/** 409: a rival was at the same object at the same moment; 404: what was to be replaced has gone. */
function isLost(error: unknown, condition: PutCondition): boolean {
  const status = statusOf(error)
  if (status === 412 || status === 409) return true
  return condition.if === 'unchanged' && nameOf(error) === 'NoSuchKey'
}

function wasRepeated(error: unknown): boolean {
  return ((error as { readonly $metadata?: { readonly attempts?: number } }).$metadata?.attempts ?? 1) > 1
}

function equalBytes(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, at) => byte === other[at])
}

function statusOf(error: unknown): number | undefined {
  return (error as { readonly $metadata?: { readonly httpStatusCode?: number } }).$metadata?.httpStatusCode
}

function nameOf(error: unknown): string | undefined {
  return error instanceof Error ? error.name : undefined
}

const example = 's3://bucket/prefix?region=eu-central-1'
const known = ['region', 'endpoint']

/** From `s3://bucket/prefix?region=…&endpoint=…`. Throws `InvalidArgument` for what is none. */
export function parseS3Url(url: string): S3Place {
  const parts = /^s3:\/\/([^/?#@:]+)(?:\/([^?#]*))?(?:\?([^#]*))?$/.exec(url)
  if (parts === null) throw new InvalidArgument('objects', `is no URL of a bucket; write ${example}`)
  const [, bucket = '', path = '', query = ''] = parts
  const settings = new URLSearchParams(query)
  for (const name of settings.keys()) {
    if (!known.includes(name)) {
      throw new InvalidArgument('objects', `"${name}" is no setting of a bucket; there are ${known.join(', ')}`)
    }
    if (settings.getAll(name).length > 1) throw new InvalidArgument('objects', `"${name}" stands twice`)
    if (settings.get(name) === '') throw new InvalidArgument('objects', `"${name}" is empty`)
  }
  const prefix = path.replace(/\/$/, '')
  const region = settings.get('region')
  const endpoint = settings.get('endpoint')
  return {
    bucket,
    ...(prefix !== '' && { prefix }),
    ...(region !== null && { region }),
    ...(endpoint !== null && { endpoint: checkEndpoint(endpoint) }),
  }
}

/** Credentials come from the SDK's own settings; in a URL they would end up in messages. */
function checkEndpoint(endpoint: string): string {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined
  const web = url?.protocol === 'http:' || url?.protocol === 'https:'
  if (url === undefined || !web || url.username !== '' || url.password !== '') {
    throw new InvalidArgument('objects', '"endpoint" must be a web address without a password: http://localhost:9000')
  }
  return endpoint
}
