/** Memory and SQLite against the contract of storages. */
import { holdToContract } from './contract.ts'
import { betterSqlite, memory, sqlite, sqliteOnThread } from './engines/storages.ts'

holdToContract('memory', { make: memory })
holdToContract('sqlite on node:sqlite', { make: sqlite })
holdToContract('sqlite on a thread', { make: sqliteOnThread, alike: true })
holdToContract('sqlite on better-sqlite3', { make: betterSqlite, alike: true })
