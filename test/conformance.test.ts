/** Memory and SQLite against the contract of storages. */
import Database from 'better-sqlite3'
import { holdToContract } from './contract.ts'
import { memory, sqlite } from './engines/storages.ts'

holdToContract('memory', { make: memory })
holdToContract('sqlite on node:sqlite', { make: sqlite })
holdToContract('sqlite on a thread', { make: () => sqlite({ thread: true }) })
holdToContract('sqlite on better-sqlite3', {
  make: () => sqlite({ driver: (file, { readOnly }) => new Database(file, { readonly: readOnly }) }),
})
