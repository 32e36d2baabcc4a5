/**
 * The ledger over HTTP. Below `/ledger` lie checkpoint and tiles as C2SP tlog-tiles has them, so that other tools for
 * transparent logs read them too; beside them proofs as JSON, and what seals and verifies.
 */
import * as z from 'zod/mini'
import type { EventPlace } from '../../core/ledger.ts'
import { NotSealed } from '../../core/ledger-errors.ts'
import { limits } from '../../core/limits.ts'
import { tileWidth } from '../../core/tile.ts'
import type { VerifyOptions } from '../../core/verify.ts'
import { manages, operates, readsType, streamOf } from '../asked.ts'
import { HttpError, invalid } from '../problem.ts'
import { answerWork, progressMedia } from '../progress.ts'
import type { Asked, Route } from '../route.ts'
import {
  instant,
  list,
  type Param,
  pageLimit,
  record,
  revision,
  streamId,
  streamName,
  streamType,
  text,
  wholeNumber,
} from '../wire.ts'

const checkpointText =
  'acme.example/permits\n8577\nt9KQAMaRnQyvLPbsvc1ZRpP1tdaYRbKnUjOlI3bqC6k=\n\n— acme.example/permits …\n'
const digest = z.object({ origin: z.string(), size: revision, root: z.string(), checkpoint: z.string() })
const sealed = z.extend(digest, { sealedAt: instant })
const exampleDigest = {
  ...{ origin: 'acme.example/permits', size: 8_577, root: 't9KQAMaRnQyvLPbsvc1ZRpP1tdaYRbKnUjOlI3bqC6k=' },
  ...{ checkpoint: checkpointText, sealedAt: '2026-01-31T09:30:00.000Z' },
}
const proof = z.object({
  ...{ format: z.literal('daybook/proof/1'), stream: z.string(), revision, position: revision, time: instant },
  state: z.enum(['stored', 'trimmed', 'forgotten', 'tombstone']),
  content: z.optional(z.string()),
  salt: z.optional(z.string()),
  commitment: z.optional(z.string()),
  plain: z.optional(z.object({ content: z.string(), salt: z.string() })),
  ...{ entry: z.string(), path: z.string(), checkpoint: z.string() },
})
const exampleProof = {
  ...{ format: 'daybook/proof/1', stream: 'permit/case-891', revision: 2, position: 311 },
  ...{
    time: '2026-01-31T09:30:00.000Z',
    state: 'forgotten',
    entry: 'mAo3…',
    path: 'p2Zk…',
    checkpoint: checkpointText,
  },
}
const consistency = z.object({
  ...{ format: z.literal('daybook/consistency/1'), from: revision, to: revision, path: z.string() },
})
const fault = z.object({
  position: revision,
  until: z.optional(revision),
  stream: z.optional(z.string()),
  revision: z.optional(revision),
  kind: z.string(),
  message: z.string(),
})
const report = z.object({
  ...{ logId: z.string(), head: revision, verified: revision, streams: revision },
  events: z.object({ stored: revision, trimmed: revision, forgotten: revision, tombstone: revision }),
  unread: revision,
  encrypted: z.optional(revision),
  digest: z.optional(digest),
  signed: z.boolean(),
  checkpoint: z.optional(digest),
  fault: z.optional(fault),
})
const exampleReport = {
  ...{ logId: '01a1fc4d-6a06-7130-895b-f8ae6ebfe1a6', head: 8_577, verified: 499, streams: 891, signed: true },
  events: { stored: 8_570, trimmed: 0, forgotten: 6, tombstone: 1 },
  unread: 0,
  fault: {
    ...{ position: 500, stream: 'permit/case-891', revision: 2, kind: 'content' },
    message: 'The content is not what was recorded: its commitment does not fit',
  },
}

const note = text(z.maxLength(limits.noteCharacters, 'is no checkpoint: it is too long'))
const checkpoint = z.optional(note)
const place = record({
  position: z.optional(wholeNumber(1)),
  stream: z.optional(streamName),
  revision: z.optional(wholeNumber(1)),
})
const proveBody = record({ event: place, checkpoint })
const verifyBody = record({ checkpoint: z.optional(z.union([note, list(note)])), parallel: z.optional(wholeNumber(1)) })
const size = (description: string): Param => ({ schema: wholeNumber(1), description, example: 311 })
const tilePath: Param = {
  schema: text(),
  description: 'What C2SP tlog-tiles has behind `tile/`: `0/x001/067`, or of a partial tile `0/x001/068.p/17`.',
  example: '0/000',
}
const managed = { tag: 'Ledger', manages: true, needs: manages } as const

export const ledgerRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/ledger',
    tag: 'Ledger',
    summary: 'The newest signed digest of the log',
    answer: { status: 200, schema: sealed, description: 'It, and when it was signed.', example: exampleDigest },
    problems: ['not-sealed', 'proof-invalid', 'ledger-broken'],
    needs: operates,
    handle: newest,
  },
  {
    method: 'GET',
    path: '/ledger/checkpoint',
    tag: 'Ledger',
    summary: 'The same as a text: a C2SP checkpoint',
    answer: {
      status: 200,
      description: 'A signed note.',
      media: { 'text/plain': { description: 'The checkpoint.', example: checkpointText } },
    },
    problems: ['not-sealed', 'proof-invalid', 'ledger-broken'],
    needs: operates,
    async handle(asked) {
      const { checkpoint } = await newest(asked)
      return new Response(checkpoint, {
        headers: { 'content-type': 'text/plain; charset=utf-8', 'cache-control': 'no-cache' },
      })
    },
  },
  {
    method: 'GET',
    path: '/ledger/tile/{+tile}',
    tag: 'Ledger',
    summary: 'A tile of the tree, or a bundle of entries (`entries/…`), as bytes',
    params: { tile: tilePath },
    answer: {
      status: 200,
      description: `Up to ${tileWidth} hashes of 32 bytes one after the other; of entries each with its length in two bytes before it.`,
      media: { 'application/octet-stream': { description: 'The bytes. They never change.', example: '' } },
    },
    problems: ['tile-not-found', 'ledger-broken'],
    fields: { path: 'tile' },
    needs: operates,
    async handle({ store, params }) {
      const path = `tile/${params['tile']}`
      const bytes = await store.ledger.tile(path)
      if (bytes === undefined) throw new HttpError('tile-not-found', `There is no "${path}": so much is not sealed`)
      return new Response(bytes as Uint8Array<ArrayBuffer>, {
        headers: {
          'content-type': 'application/octet-stream',
          'cache-control': 'private, max-age=31536000, immutable',
        },
      })
    },
  },
  {
    method: 'GET',
    path: '/ledger/consistency',
    tag: 'Ledger',
    summary: 'A proof that the digest of so many events extends the digest of fewer',
    query: {
      from: { ...size('The size of the older digest.'), required: true },
      to: size('The size of the later one; default: of the newest.'),
    },
    answer: {
      status: 200,
      schema: consistency,
      description: 'To be checked against both digests.',
      example: { format: 'daybook/consistency/1', from: 311, to: 8_577, path: 'p2Zk…' },
    },
    problems: ['not-sealed', 'proof-invalid', 'ledger-broken'],
    needs: operates,
    handle: ({ store, query }) =>
      store.ledger.proveConsistency(Number(query['from']), query['to'] === undefined ? undefined : Number(query['to'])),
  },
  {
    method: 'POST',
    path: '/ledger/prove',
    tag: 'Ledger',
    summary: 'The proof of an event, by its stream and revision or by its position',
    description:
      'Against the newest digest, or against the one that `checkpoint` holds. By position it wants `read:*`.',
    body: { schema: proveBody, example: { event: { stream: 'permit/case-891', revision: 2 } } },
    answer: {
      status: 200,
      schema: proof,
      description: 'All that is needed to check it without any server.',
      example: exampleProof,
    },
    problems: [
      ...(['not-sealed', 'proof-invalid', 'ledger-broken'] as const),
      ...(['stream-not-found', 'position-beyond-head'] as const),
    ],
    needs: ({ body }) => {
      const { stream } = (body as z.infer<typeof proveBody>).event
      return [{ action: 'read', ...(stream !== undefined && { streamType: stream.slice(0, stream.indexOf('/')) }) }]
    },
    handle({ store, body }) {
      const { event, checkpoint } = body as z.infer<typeof proveBody>
      return store.ledger.prove(placeOf(event), checkpoint === undefined ? {} : { checkpoint })
    },
  },
  {
    method: 'GET',
    path: '/ledger/history/{streamType}/{streamId}',
    tag: 'Ledger',
    summary: "A stream's events with their proofs, page by page, as far as they are sealed",
    description: 'Whatever became of them: archived and forgotten events too.',
    params: { streamType, streamId },
    query: {
      after: { schema: wholeNumber(0), description: 'Only events after this revision; default 0.', example: 100 },
      limit: pageLimit,
    },
    answer: {
      status: 200,
      schema: z.object({ proofs: z.array(proof), more: z.boolean() }),
      description: 'A page; the next one begins after the last revision.',
      example: { proofs: [exampleProof], more: false },
    },
    problems: ['stream-not-found', 'not-sealed', 'proof-invalid', 'ledger-broken'],
    needs: readsType,
    async handle({ store, params, query }) {
      const { after = 0, limit = limits.pageRecordsDefault } = query
      const proofs: unknown[] = []
      for await (const each of store.ledger.history(streamOf(params), { after: Number(after) })) {
        if (proofs.length === Number(limit)) return { proofs, more: true }
        proofs.push(each)
      }
      return { proofs, more: false }
    },
  },
  {
    ...managed,
    method: 'POST',
    path: '/ledger/seal',
    summary: 'Sign a digest of all that is in the log now',
    body: { schema: record({}), example: {}, optional: true },
    answer: { status: 200, schema: sealed, description: 'The digest.', example: exampleDigest },
    problems: ['unsupported', 'store-read-only', 'proof-invalid', 'ledger-broken'],
    handle: ({ store }) => store.ledger.seal(),
  },
  {
    ...managed,
    method: 'POST',
    path: '/ledger/verify',
    summary: 'Verify the whole log: every record, every stream, the tree, the digest; against kept digests too',
    description:
      'What is found is what this server says of its own storage. Who does not trust it verifies proofs, or an export, elsewhere.',
    body: { schema: verifyBody, example: { checkpoint: checkpointText }, optional: true },
    answer: {
      status: 200,
      schema: report,
      description: 'With the first thing that is wrong, if anything is.',
      example: exampleReport,
      media: progressMedia(exampleReport, { position: 4_096, head: 8_577 }),
    },
    problems: ['proof-invalid'],
    handle: (asked) =>
      answerWork(asked, (going) => asked.store.ledger.verify({ ...(asked.body as VerifyOptions), ...going })),
  },
]

async function newest({ store }: Asked) {
  const digest = await store.ledger.digest()
  if (digest === undefined) throw new NotSealed({ position: undefined, size: 0 })
  return digest
}

function placeOf({ position, stream, revision }: z.infer<typeof place>): EventPlace {
  if (position === undefined) {
    if (stream === undefined) throw invalid({ 'event.stream': ['required, with revision; or position'] })
    if (revision === undefined) throw invalid({ 'event.revision': ['required'] })
    return { stream, revision }
  }
  if (stream === undefined && revision === undefined) return { position }
  throw invalid({ 'event.position': ['stands beside another place'] })
}
