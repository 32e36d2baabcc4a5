/** The other side of `auditors.ts`: reads pieces of the log, and says what it has found. */
import { parentPort, workerData } from 'node:worker_threads'
import { plainError } from '../../core/error-data.ts'
import type { Piece } from '../../core/finding.ts'
import { readPiece } from '../../core/read-piece.ts'
import { watched } from '../../core/watched.ts'
import type { FromAuditor } from './auditors.ts'
import { sqliteStorage } from './storage.ts'

const port = parentPort
if (port === null) throw new Error('auditor.ts runs on a thread of auditors.ts')

const { file } = workerData as { readonly file: string }
const opened = sqliteStorage({ file, readOnly: true }).then((storage) =>
  watched(storage, new AbortController().signal, undefined),
)
// Whoever asks first is told.
opened.catch(() => {})

const turns = { last: Promise.resolve() as Promise<unknown> }
port.on('message', (piece: Piece) => {
  turns.last = turns.last.then(async () => {
    try {
      tell({ audit: await readPiece(await opened, piece) })
    } catch (error) {
      tell({ error: plainError(error) })
    }
  })
})

function tell(message: FromAuditor): void {
  port?.postMessage(message)
}
