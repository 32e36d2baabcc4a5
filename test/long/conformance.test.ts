/** All of the contract, for the ways to a storage that are held to a part of it every day. */
import type { ConformanceCase } from '../../src/conformance/index.ts'
import { holdToContract } from '../contract.ts'
import { missingPooler, pooled } from '../engines/postgres.ts'
import { betterSqlite, postgres, sqliteOnThread } from '../engines/storages.ts'
import { share } from './share.ts'

/** A part of the run is held to a part of it. */
const every = Math.max(1, Math.round(1 / share))
const some = (all: readonly ConformanceCase[]) => all.filter((_, index) => index % every === 0)

holdToContract('sqlite on a thread', { make: sqliteOnThread }, some)
holdToContract('sqlite on better-sqlite3', { make: betterSqlite }, some)
holdToContract('postgres behind pgbouncer', { make: () => postgres(pooled), missing: missingPooler() }, some)
