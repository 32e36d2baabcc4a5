/** All routes there are, in the order of the OpenAPI document. */
import type { Route } from './route.ts'
import { archiveRoutes } from './routes/archive.ts'
import { consumerRoutes } from './routes/consumers.ts'
import { eventTypeRoutes } from './routes/event-types.ts'
import { healthRoutes } from './routes/health.ts'
import { jobRoutes } from './routes/jobs.ts'
import { projectionRoutes } from './routes/projections.ts'
import { readingRoutes } from './routes/reading.ts'
import { referenceRoutes } from './routes/reference.ts'
import { replayRoutes } from './routes/replays.ts'
import { snapshotRoutes } from './routes/snapshots.ts'
import { stateRoutes } from './routes/states.ts'
import { viewRoutes } from './routes/views.ts'
import { writingRoutes } from './routes/writing.ts'

export const routes: readonly Route[] = [
  ...referenceRoutes,
  ...writingRoutes,
  ...readingRoutes,
  ...viewRoutes,
  ...projectionRoutes,
  ...replayRoutes,
  ...consumerRoutes,
  ...jobRoutes,
  ...snapshotRoutes,
  ...archiveRoutes,
  ...stateRoutes,
  ...eventTypeRoutes,
  ...healthRoutes,
]
