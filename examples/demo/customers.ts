/** Some hundred customers: persons and organisations that move, are renamed, and now and then ask to be forgotten. */
import { derivedId, isStoreError, type Store } from 'daybook'
import { type CustomerCommand, customerStream, customers, type Details, deleted } from '../customer-record/domain.ts'
import { type Chance, chances, eachOf, firstNames, pick, surnames } from './chance.ts'

const count = 300
const streets = [
  'Mill Lane',
  'Station Road',
  'Harbour Street',
  'Church Row',
  'Quay',
  'Long Acre',
  'Kirkgate',
  'Fen End',
]
const towns = [
  ['Ely', 'CB7 4'],
  ['Whitby', 'YO22 4'],
  ['Ludlow', 'SY8 1'],
  ['Kirkwall', 'KW15 1'],
  ['Tenby', 'SA70 7'],
] as const
const trades = ['Bakery', 'Boatyard', 'Books', 'Cycles', 'Joinery', 'Pharmacy', 'Removals', 'Tea Rooms']

/** Recorded once, however often it is asked for. Gives how many were forgotten. */
export async function fillCustomers(
  store: Store,
  signal: AbortSignal,
): Promise<{ customers: number; forgotten: number }> {
  let forgotten = 0
  await eachOf(count, signal, async (index) => {
    const chance = chances('customer', index)
    const kind = chance() < 0.8 ? 'Person' : 'Organisation'
    const customerId = customerIdOf(index)
    const details = kind === 'Person' ? person(chance) : organisation(chance)
    let version = 0
    const record = async (does: CustomerCommand['does'], details: Details) => {
      const eventId = derivedId(['demo customer event', index, version])
      const command = { does, kind, customerId, details, eventId } as const
      await store.execute(customers, customerStream(customerId), command, { expected: version++ })
    }
    const isForgotten = chance() < 0.04
    if (isForgotten) forgotten++
    try {
      await record('create', details)
      while (chance() < 0.5) await record('amend', { ...details, customerAddress: address(chance) })
    } catch (error) {
      if (!isStoreError(error, 'stream-forgotten') && !isStoreError(error, 'revision-conflict')) throw error
      // It was forgotten the last time; or whoever looks around has been faster.
      return
    }
    if (!isForgotten) return
    await store.forget(customerStream(customerId), { reasonCode: 'asked to be forgotten', tombstone: deleted })
  })
  return { customers: count, forgotten }
}

export function customerIdOf(index: number): string {
  return derivedId(['demo customer', index])
}

function person(chance: Chance): Details {
  const title = pick(['MR', 'MS', 'MX', 'DR'], chance)
  const customerName = { title, foreNames: pick(firstNames, chance), surname: pick(surnames, chance) }
  return { customerName, customerAddress: address(chance) }
}

function organisation(chance: Chance): Details {
  return { organisationName: `${pick(surnames, chance)} ${pick(trades, chance)}`, customerAddress: address(chance) }
}

function address(chance: Chance): NonNullable<Details['customerAddress']> {
  const [town, post] = pick(towns, chance)
  const postalCode = `${post}${pick(['AB', 'DR', 'HT', 'QQ', 'XE'], chance)}`
  const addressLine1 = `${1 + Math.floor(chance() * 90)} ${pick(streets, chance)}`
  return { addressType: 'STRUCTURED', address: { addressLine1, addressLine2: town, postalCode } }
}
