/**
 * What the application's store is opened with, by its server and by the command line:
 * `npx daybook states restore --app examples/classified-ads/definitions.ts`.
 */
import { type AppDefinition, defineApp } from 'daybook'
import { adViewsOf } from './views.ts'

const {
  DAYBOOK_STORE = 'sqlite:./classified-ads.db',
  DAYBOOK_ARCHIVE = 'file:./classified-ads-archive',
  DAYBOOK_STATES = 'file:./classified-ads-states',
} = process.env

export const storeUrl = DAYBOOK_STORE

export const definitions = {
  // DynamoDB takes 100 items in a commit. A word is one, and an update may take away as many as it adds.
  projections: [adViewsOf(DAYBOOK_STORE.startsWith('dynamodb:') ? { words: 35 } : {})],
  // What was recorded in the last 90 days stays in the storage, and of each ad its newest version, or its deletion.
  retention: { ad: { keepDays: 90, keepEvents: 1 } },
  places: { archive: DAYBOOK_ARCHIVE, states: DAYBOOK_STATES },
  schedules: {
    $archive: { cron: '0 3 * * *', kind: '$archive' },
    $states: { cron: '1 0 1 * *', kind: '$states' },
  },
} satisfies AppDefinition

export default defineApp(definitions)
