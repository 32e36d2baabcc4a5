/** Given, when, then, for the domain alone: deciders and projections without a store. Needs no test runner. */
export type { GivenCommands, GivenDecision } from './decider.ts'
export { testDecider } from './decider.ts'
export type { GivenEvent } from './given.ts'
export type { GivenViews, ProjectionFold } from './projection.ts'
export { testProjection } from './projection.ts'
