/** What a host needs: the app, and the ways of knowing its callers. */
export type { Access, Authenticate, Principal } from './access.ts'
export { type App, type AppOptions, createApp, type Metrics, type RequestLog } from './app.ts'
export { type JwtOptions, jwtAccess } from './jwt.ts'
export { type KeyInfo, type Keys, keyAccess, openKeys } from './keys.ts'
