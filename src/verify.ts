/**
 * The verifier alone: digests, proofs and exports are checked by it in any runtime, browsers too, without a store. It loads
 * the curve and the hash, and nothing else.
 */

export type { Digest, OpenedDigest, SignedDigest } from './core/digest.ts'
export { openDigest, readDigest } from './core/digest.ts'
export type { Fault, FaultKind, StateCounts } from './core/finding.ts'
export * from './core/ledger-errors.ts'
export type { Verified } from './core/note.ts'
export type { CheckedProof, ConsistencyProof, EventProof } from './core/proof.ts'
export { checkConsistency, checkProof } from './core/proof.ts'
export type { ExportReport, VerifyExportOptions } from './core/verify-export.ts'
export { verifyExport } from './core/verify-export.ts'
export type { RecordsReport, VerifyRecordsOptions } from './core/verify-records.ts'
export { verifyRecords } from './core/verify-records.ts'
