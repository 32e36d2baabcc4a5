/** What a DynamoDB storage is opened with. */
import type { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import type { Clock } from '../../core/time.ts'

export interface DynamoOptions extends DynamoPlace {
  /**
   * Who gives positions: this process to what it writes (`'here'`, the default), or a function on the table's change
   * stream (`'elsewhere'`).
   */
  readonly sequencer?: 'here' | 'elsewhere'
  /** Neither makes nor changes anything. */
  readonly readOnly?: boolean
  /** How often the log is asked for its head while somebody is subscribed, in milliseconds. Default 250. */
  readonly pollMs?: number
  readonly clock?: Clock
}

export interface DynamoPlace {
  readonly table: string
  /** Without it, the SDK's own settings say. */
  readonly region?: string
  /** Of an engine that is not AWS's own, as `http://localhost:8000`. */
  readonly endpoint?: string
  /** A client of the SDK, which stays open when the storage is closed; its region and endpoint count. */
  readonly client?: DynamoDBClient
}
