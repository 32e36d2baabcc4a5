/** PostgreSQL against the contract of storages, also behind a pooler. */
import { holdToContract } from './contract.ts'
import { missingPooler, missingPostgres, pooled } from './engines/postgres.ts'
import { postgres } from './engines/storages.ts'

holdToContract('postgres', { make: () => postgres(), missing: missingPostgres() })
holdToContract('postgres behind pgbouncer', { make: () => postgres(pooled), missing: missingPooler(), alike: true })
