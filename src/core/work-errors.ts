/** What can go wrong with jobs, consumers and declared event types. */
import { StoreError } from './errors.ts'

/** What is defined under this name is stored with another definition. Nothing was changed. */
export class DefinitionClash extends StoreError {
  override readonly code = 'definition-clash'
  declare readonly what: string
  declare readonly field: string
  /** `what` names it (`consumer mails`), `field` says where the two differ. */
  constructor({ what, field, mend }: { what: string; field: string; mend: string }) {
    super(`The ${what} is stored with another ${field}; ${mend}`, { what, field })
  }
}

export class EventTypeNotFound extends StoreError {
  override readonly code = 'event-type-not-found'
  declare readonly eventType: string
  constructor(eventType: string) {
    super(`No event type "${eventType}" is declared`, { eventType })
  }
}

export class ConsumerNotFound extends StoreError {
  override readonly code = 'consumer-not-found'
  declare readonly consumer: string
  constructor(consumer: string) {
    super(`There is no consumer "${consumer}"; the first run of it makes it`, { consumer })
  }
}

export class JobNotFound extends StoreError {
  override readonly code = 'job-not-found'
  declare readonly job: string
  constructor(job: string) {
    super(`There is no job "${job}"; an id is its kind and its key, with "/" between`, { job })
  }
}

/** Only what is parked can be retried. */
export class JobNotParked extends StoreError {
  override readonly code = 'job-not-parked'
  declare readonly job: string
  declare readonly state: string
  constructor({ job, state }: { job: string; state: string }) {
    super(`Job "${job}" is ${state}, and not parked`, { job, state })
  }
}
