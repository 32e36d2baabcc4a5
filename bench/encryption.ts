/**
 * What encryption costs on SQLite: durable appends by 32 callers and scans of the log, with subjects that are known, that are new
 * with each append, and with a few fields of each event; against a store that encrypts nothing.
 */
import { masterKeyOf, openStore, type Store, type Subjects } from 'daybook'
import { sqliteStorage } from 'daybook/sqlite'
import { type Contender, type Measured, median, ratio, sideBySide } from './measure.ts'
import { eventType, sampleData } from './sample.ts'

const callers = 32
const each = 300
const masterKey = masterKeyOf([new Uint8Array(32).fill(1)])
const own: Subjects = { streams: { permit: {} } }
const fields: Subjects = {
  events: { [eventType]: { subject: 'person/{/responsible}', fields: ['/responsible', '/task'] } },
}

export async function encryption(folder: string, rounds: number): Promise<void> {
  const open = async (name: string, subjects?: Subjects) => {
    const storage = await sqliteStorage({ file: `${folder}/encryption-${name}.db` })
    return openStore(storage, subjects ? { subjects, encryption: { masterKey } } : {})
  }
  await using plain = await open('plain')
  await using known = await open('known', own)
  await using some = await open('fields', fields)
  console.log(
    '\n| encrypted against plain, events of 300 bytes | encrypted | plain | ratio | to reach |\n|---|---|---|---|---|',
  )
  const [without, whole, few] = await sideBySide(
    { plain: appending(plain), known: appending(known), fields: appending(some) },
    rounds,
  )
  print(`durable append, ${callers} callers, all of the data`, whole, without, '≥ 0.7')
  print(`durable append, ${callers} callers, two fields`, few, without, '≥ 0.7')
  // By themselves: thousands of keys in memory are what others would be slowed down by.
  await using fresh = await open('fresh', own)
  await using plainFresh = await open('plain-fresh')
  const [streams, subjects] = await sideBySide(
    { plain: appending(plainFresh, 'new streams'), 'new subjects': appending(fresh, 'new streams') },
    rounds,
  )
  print(`durable append, ${callers} callers, a new stream and subject each`, subjects, streams)
  const [bare, all, fields2] = await sideBySide(
    { plain: scanning(plain), known: scanning(known), fields: scanning(some) },
    rounds,
  )
  print('scan of the log, all of the data', all, bare)
  print('scan of the log, two fields', fields2, bare)
}

function appending(store: Store, streams?: 'new streams'): Contender {
  let made = 0
  return async () => {
    await Promise.all(
      Array.from({ length: callers }, async (_, caller) => {
        for (let turn = 0; turn < each; turn++) {
          const id = streams ? ++made : caller
          await store.append(`permit/${id}`, [{ type: eventType, data: sampleData(turn) }])
        }
      }),
    )
    return callers * each
  }
}

function scanning(store: Store): Contender {
  return async () => {
    let events = 0
    for await (const _ of store.readLog({ limit: 20_000 })) events++
    return events
  }
}

function print(name: string, mine: Measured | undefined, other: Measured | undefined, reach = ''): void {
  if (mine === undefined || other === undefined) return
  const rate = (measured: Measured) => `${Math.round(median(measured.rates)).toLocaleString('en')}/s`
  console.log(`| ${name} | ${rate(mine)} | ${rate(other)} | ${ratio(mine, other).toFixed(2)} | ${reach} |`)
}
