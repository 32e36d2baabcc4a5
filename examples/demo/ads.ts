/** Ads that look like life, to look around in: some weeks of a few publishers, recorded through the application's own domain. */
import { derivedId, type Store } from 'daybook'
import { type AdCommand, adStream, ads, type Changes, type Content } from '../classified-ads/domain.ts'
import { adIdOf } from '../classified-ads/publishing.ts'
import { type Chance, chances, pick } from './chance.ts'

export interface SampleOptions {
  /** Where the weeks end. */
  readonly until: Date
  /** Called before what happened at an instant is recorded, so that the storage's clock can be turned to it. */
  readonly turnTo?: (instant: Date) => void
  /** How many ads; default 300. */
  readonly count?: number
  /** Ends it before the next one. */
  readonly signal?: AbortSignal
}

export interface Sampled {
  readonly ads: number
  readonly updates: number
  readonly deletions: number
}

interface Happening {
  readonly at: number
  readonly command: AdCommand
}

const hour = 3_600_000
const day = 24 * hour
const weeks = 8

/** And what they have to offer; those without a list are private, and offer anything. */
const publishers: Readonly<Record<string, readonly string[]>> = {
  'acme-bikes': ['bicycles'],
  'anna-b': [],
  'cellar-books': ['books', 'music'],
  'harbour-flats': ['flats'],
  jonas: [],
  'mill-lane-antiques': ['furniture', 'books', 'lights'],
  'northside-cars': ['cars'],
  'second-spin': ['bicycles', 'music'],
  'the-lamp-shop': ['lights'],
  'tove-and-emil': [],
}

/** What is offered: title, description, price in whole units, tags. */
type Offer = readonly [title: string, description: string, price: number, ...tags: string[]]

const offers: Readonly<Record<string, readonly Offer[]>> = {
  bicycles: [
    ['Road bicycle, 56 cm', 'Steel frame, new chain and tyres, ridden for two summers', 340, 'steel', 'road'],
    ['Cargo bicycle', 'Carries two children and the shopping; brakes were renewed in spring', 1_450, 'family'],
    ['Child bicycle, 20 inch', 'With a bell and a basket, some scratches on the left side', 65, 'children'],
  ],
  books: [
    ['Box of crime novels', 'Forty paperbacks, most of them read once, to be fetched together', 25, 'paperback'],
    [
      'Atlas of 1911',
      'Maps are complete, the spine is loose, a stamp of a school library inside',
      120,
      'antique',
      'maps',
    ],
    ['Cookbooks, Italian', 'Six volumes with notes by the aunt who cooked from them', 30, 'cooking'],
  ],
  cars: [
    ['Small car, 2016', 'One owner, 84,000 km, serviced each year, winter tyres go with it', 7_200, 'petrol'],
    ['Camper van', 'Sleeps two, kitchen and heater, a long list of repairs that are done', 18_900, 'travel', 'diesel'],
  ],
  flats: [
    ['Two rooms by the harbour', 'Third floor, balcony to the south, the ferry is five minutes away', 980, 'rent'],
    [
      'Room in a shared flat',
      'Sixteen square metres, a garden, a cat; from the first of the month',
      420,
      'rent',
      'shared',
    ],
  ],
  furniture: [
    ['Oak table', 'Seats eight, a ring of a coffee cup at one end, legs come off for the stairs', 280, 'oak'],
    ['Reading chair', 'Green wool, deep enough to sleep in, from a house without smokers', 150, 'wool'],
    ['Chest of drawers', 'About 1890, pine, the lowest drawer sticks in wet weather', 210, 'antique', 'pine'],
  ],
  lights: [
    ['Brass lamp', 'With its old glass shade, newly wired, gives a warm light', 75, 'brass'],
    ['Workshop lamp', 'Long arm, clamps to any bench, enamel with a few chips', 45, 'enamel'],
  ],
  music: [
    ['Upright piano', 'Tuned last autumn, two movers are needed, ground floor', 600, 'piano'],
    ['Records, jazz', 'Some eighty of the sixties, sleeves with wear, all play well', 320, 'vinyl'],
  ],
}

const notes = ['', ' Cash only.', ' Can be looked at on weekends.', ' The price is open to talk.', ' No swaps, please.']

/** Recorded once, however often it is asked for. */
export async function fillAds(store: Store, { until, turnTo, count = 300, signal }: SampleOptions): Promise<Sampled> {
  const happenings = Array.from({ length: count }, (_, index) => lifeOf(index, until.getTime())).flat()
  happenings.sort((one, other) => one.at - other.at)
  for (const { at, command } of happenings) {
    if (signal?.aborted) break
    turnTo?.(new Date(at))
    await store.execute(ads, adStream(command.adId), command)
  }
  const counted = (does: AdCommand['does']) => happenings.filter(({ command }) => command.does === does).length
  return { ads: counted('create'), updates: counted('update'), deletions: counted('delete') }
}

/** What becomes of one ad: it is created, gets cheaper or better described, and mostly is sold at some time. */
function lifeOf(index: number, until: number): readonly Happening[] {
  const chance = chances('ad', index)
  const [publisherId, categories] = pick(Object.entries(publishers), chance)
  const adId = adIdOf(derivedId(['demo ad', index]))
  const { category, ...content } = offer(chance, categories)
  const life: Happening[] = []
  let at = until - chance() ** 0.8 * weeks * 7 * day
  const happens = (
    what: { does: 'create'; content: Content } | { does: 'update'; changes: Changes } | { does: 'delete' },
  ) =>
    life.push({
      at,
      command: { ...what, adId, publisherId, eventId: derivedId(['demo ad event', index, life.length]) },
    })
  happens({ does: 'create', content: { ...content, category } })
  let { price } = content
  while (chance() < 0.55) {
    at += (0.2 + chance() * 9) * day
    if (at >= until) return life
    const isCheaper = chance() < 0.7
    price = Math.max(5, Math.round((price * 0.9) / 5) * 5)
    const better = { adDescription: `${content.adDescription} Still available.`, tags: [...content.tags, 'reduced'] }
    happens({ does: 'update', changes: isCheaper ? { price } : better })
  }
  at += (1 + chance() * 20) * day
  if (at < until && chance() < 0.7) happens({ does: 'delete' })
  return life
}

function offer(chance: Chance, categories: readonly string[]): Content {
  const category = pick(categories.length > 0 ? categories : Object.keys(offers), chance)
  const [adTitle, description, usual, ...tags] = pick(offers[category] ?? [], chance)
  const price = Math.max(5, Math.round((usual * (0.7 + chance() * 0.6)) / 5) * 5)
  const currency = pick(['EUR', 'EUR', 'EUR', 'CHF', 'SEK'], chance)
  return { adTitle, adDescription: `${description}.${pick(notes, chance)}`, price, currency, category, tags }
}
