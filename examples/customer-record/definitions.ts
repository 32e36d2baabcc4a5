/**
 * What the application's store is opened with and worked for, by its server and by the command line:
 * `npx daybook projections rebuild --all --app examples/customer-record/definitions.ts`.
 */
import { defineApp } from 'daybook'
import { projections } from './views.ts'

export default defineApp({ projections })
