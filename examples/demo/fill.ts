/** The sample data of all parts. Ids and content follow from a seed, so that on a store that has it nothing is doubled. */
import type { Store } from 'daybook'
import { adStream } from '../classified-ads/domain.ts'
import { adViews } from '../classified-ads/views.ts'
import { fillAds } from './ads.ts'
import { customerIdOf, fillCustomers } from './customers.ts'
import { fillUsers, userIdOf } from './users.ts'

/** A sentence of what there is; `undefined` where it was ended before it was done. */
export async function fill(store: Store, signal: AbortSignal): Promise<string | undefined> {
  const until = await weeksEnd(store)
  const [customers, users, ads] = await Promise.all([
    fillCustomers(store, signal),
    fillUsers(store, until.getTime(), signal),
    fillAds(store, { until, signal }),
  ])
  if (signal.aborted) return undefined
  return [
    `${customers.customers} customers, ${customers.forgotten} of them forgotten`,
    `${ads.ads} ads, ${ads.deletions} of them deleted`,
    `${users.events} events of ${users.users} users, ${users.forgotten} of them forgotten`,
  ].join('; ')
}

/** What is worth a look: paths, by the part that answers them. */
export async function sights(store: Store): Promise<readonly (readonly [part: string, path: string])[]> {
  const publisherId = 'the-lamp-shop'
  const { views } = await store.views.query(adViews, { equals: { publisherId }, limit: 25 })
  const versions = await Promise.all(
    views.map(async ({ id }) => ({ id, count: (await store.details(adStream(id)))?.revision ?? 0 })),
  )
  const [ad] = versions.toSorted((one, other) => other.count - one.count)
  return [
    ['customer record', `/customer/v1/query/event/${customerIdOf(0)}`],
    ['classified ads', '/?q=brass+lamp'],
    ...(ad ? ['?versions=true', '/proof'] : []).map(
      (more) => ['classified ads', `/publisher/${publisherId}/ad/${ad?.id}${more}`] as const,
    ),
    ['login and order join', `/users/${userIdOf(0)}`],
  ]
}

/** When the demo was first started on this store. */
async function weeksEnd(store: Store): Promise<Date> {
  const stream = 'demo/begun'
  if (!(await store.details(stream))) {
    const begun = { type: 'DemoBegun', data: { until: new Date().toISOString() } }
    await store.append(stream, [begun], { expected: 0 })
  }
  for await (const { data } of store.read(stream, { limit: 1 })) {
    return new Date((data as { readonly until: string }).until)
  }
  throw new Error(`There is nothing in ${stream}`)
}
