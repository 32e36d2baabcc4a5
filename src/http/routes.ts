/** All routes there are, in the order of the OpenAPI document. */
import type { Route } from './route.ts'
import { healthRoutes } from './routes/health.ts'
import { projectionRoutes } from './routes/projections.ts'
import { readingRoutes } from './routes/reading.ts'
import { referenceRoutes } from './routes/reference.ts'
import { replayRoutes } from './routes/replays.ts'
import { viewRoutes } from './routes/views.ts'
import { writingRoutes } from './routes/writing.ts'

export const routes: readonly Route[] = [
  ...referenceRoutes,
  ...writingRoutes,
  ...readingRoutes,
  ...viewRoutes,
  ...projectionRoutes,
  ...replayRoutes,
  ...healthRoutes,
]
