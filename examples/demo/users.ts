/** Weeks of logins and orders: late, now and then twice, some of users who were never created, some very busy. */
import { derivedId, type Store } from 'daybook'
import type { UserEventBody } from '../login-order-join/domain.ts'
import { userStream } from '../login-order-join/domain.ts'
import { ingest } from '../login-order-join/ingest.ts'
import { chances, eachOf, firstNames, pick, surnames } from './chance.ts'

const count = 250
/** So busy that their views have snapshots, and what lies before is trimmed. */
const busy = 3
const day = 86_400_000
const weeks = 8

/** Recorded once, however often it is asked for with the same instant, where the weeks end. */
export async function fillUsers(
  store: Store,
  until: number,
  signal: AbortSignal,
): Promise<{ users: number; events: number; forgotten: number }> {
  let [events, forgotten] = [0, 0]
  await eachOf(count, signal, async (index) => {
    const chance = chances('user', index)
    const userId = userIdOf(index)
    const name = `${pick(firstNames, chance)} ${pick(surnames, chance)}`
    const visits = index < busy ? 150 : 1 + Math.floor(chance() ** 2 * 20)
    const since = until - (0.1 + chance() * 0.9) * weeks * 7 * day
    const told: UserEventBody[] = []
    const facts = (share: number) => ({
      id: `demo ${index}-${told.length}`,
      timestamp: Math.floor(since + share * (until - since)),
    })
    if (chance() < 0.93) told.push({ ...facts(0), type: 'user-created', user: { id: userId, name } })
    for (let visit = 0; visit < visits; visit++) {
      const share = (visit + chance()) / visits
      told.push({ ...facts(share), type: 'user-loggedIn', user: { id: userId } })
      if (chance() < 0.4) told.push({ ...facts(share), type: 'order-submitted', order: { userId } })
    }
    for (let at = 0; at < told.length && !signal.aborted; at += 20) await ingest(store, told.slice(at, at + 20))
    // A producer that got no answer.
    if (chance() < 0.1) await ingest(store, told.slice(-3))
    events += told.length
    if (chance() >= 0.02) return
    forgotten++
    await store.forget(userStream(userId), { reasonCode: 'asked to be forgotten' })
  })
  return { users: count, events, forgotten }
}

/** The first few are the busy ones. */
export function userIdOf(index: number): string {
  return derivedId(['demo user', index]).slice(0, 8)
}
