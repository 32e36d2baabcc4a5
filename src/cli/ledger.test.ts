import { once } from 'node:events'
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { openDigest } from '../core/digest.ts'
import { newLedgerKeys, newWitnessKeys } from '../core/note.ts'
import { checkConsistency, checkProof } from '../core/proof.ts'
import { open } from '../open.ts'
import { begin, call, newStore, place, run, start } from './fixtures/command.ts'

afterEach(() => vi.unstubAllEnvs())

/** A store with two sealed events, the keys, and the digest in a file. */
async function sealed() {
  const store = newStore()
  const { signerKey, verifierKey: key } = newLedgerKeys('cli.example/log')
  const signer = file(`${signerKey}\n`)
  await call(store, 'append', 'seat/1', 'Reserved', '{"by":"Ann"}')
  await call(store, 'append', 'seat/1', 'Freed')
  const { output: told } = await call(store, 'ledger', 'seal', '--signer-key', signer)
  expect(told).toMatch(/^log {5}cli\.example\/log\nevents {2}2\nroot/)
  const digest = file((await call(store, 'ledger', 'digest', '--key', key)).output)
  return { store, signer, key, digest }
}

function file(text: string): string {
  const path = place()
  writeFileSync(path, text)
  return path
}

test('digests are sealed and printed, events proven and checked offline, histories and consistency proven', async () => {
  const { store, signer, key, digest } = await sealed()
  const secret = place()
  const keys = () => run(undefined, ['ledger', 'keys', 'cli.example/log', secret])
  const made = await keys()
  expect([made.code, statSync(secret).mode & 0o777]).toEqual([0, 0o600])
  const foreign = made.output.trim()
  // A key is never written over another one.
  expect((await keys()).code).toBe(2)
  const proof = (await call(store, 'ledger', 'prove', 'seat/1@1')).output
  expect(checkProof(JSON.parse(proof), [key]).event?.data).toEqual({ by: 'Ann' })
  expect((await call(store, 'ledger', 'prove', '1')).output).toBe(proof)
  const offline = ['verify', '--proof', file(proof), '--checkpoint', digest]
  const checked = await call('sqlite:never-there.db', ...offline, '--key', file(`${key}\n`))
  expect(checked.output).toMatch(/^seat\/1 at revision 1 is proven: its content\nposition {2}1\n/)
  expect(existsSync('never-there.db')).toBe(false)
  expect((await call(store, ...offline)).code).toBe(2)
  const forged = await call(store, 'verify', '--key', key, '--proof', file(proof.replace('Ann', 'Eve')), '--json')
  expect([forged.code, JSON.parse(forged.errors).part]).toEqual([1, 'content'])
  expect((await call(store, ...offline, '--key', foreign)).code).toBe(1)
  expect((await call(store, 'ledger', 'prove', 'seat/1@3')).code).toBe(2)
  await call(store, 'append', 'seat/1', 'Reserved')
  expect((await call(store, 'ledger', 'prove', 'seat/1@3')).code).toBe(6)
  vi.stubEnv('DAYBOOK_SIGNER_KEY', readFileSync(signer, 'utf8'))
  await call(store, 'ledger', 'seal')
  const later = (await call(store, 'ledger', 'digest')).output
  const consistency = (await call(store, 'ledger', 'consistency', '2')).json()[0]
  checkConsistency(consistency, { from: readFileSync(digest, 'utf8'), to: later }, [key])
  const history = (await call(store, 'ledger', 'history', 'seat/1')).json()
  expect(history.map((each: { revision: number }) => each.revision)).toEqual([1, 2, 3])
  expect((await call(store, ...offline, '--key', key)).code).toBe(0)
  const newer = ['verify', '--proof', file(JSON.stringify(history[0])), '--checkpoint', digest, '--key', key]
  expect((await call(store, ...newer)).errors).toContain('ledger prove --checkpoint')
})

describe('verify', () => {
  test('tells that nothing is wrong, in the store and in an export of it without the store', async () => {
    const { store, key, digest } = await sealed()
    await call(store, 'forget', 'seat/1', '--reason', 'asked', '--yes')
    const against = ['--key', key, '--checkpoint', digest]
    const whole = await call(store, 'verify', ...against, '--parallel', '2')
    expect([whole.code, whole.output]).toEqual([
      0,
      [
        '3 events of 1 stream: nothing is wrong',
        'without content  2 events forgotten',
        'digest           cli.example/log, 2 events; its signature is checked',
        'against          cli.example/log, 2 events\n',
      ].join('\n'),
    ])
    const exported = place()
    expect((await call(store, 'export', exported, '--evidence')).errors).toBe('3 records exported with the evidence\n')
    const offline = await call('sqlite:never-there.db', 'verify', '--export', exported, ...against)
    expect([offline.code, offline.output]).toEqual([0, whole.output])
    const { json } = await run(undefined, ['verify', '--export', '-', '--json'], readFileSync(exported))
    expect(json()).toMatchObject([{ head: 3, verified: 3, signed: false }])
    expect((await call(store, 'export', '--evidence', '--after', '1')).code).toBe(2)
    expect((await call(store, 'verify', '--export', place())).errors).toContain('cannot be read')
  })

  test('ends with 1 and the first wrong position where somebody has changed something', async () => {
    const { store, key } = await sealed()
    const exported = place()
    await call(store, 'export', exported, '--evidence')
    const db = new DatabaseSync(store.replace('sqlite:', ''))
    db.exec(`UPDATE log SET content = replace(content, 'Ann', 'Eve') WHERE position = 1`)
    db.close()
    const { code, output } = await call(store, 'verify', '--key', key)
    expect([code, output]).toEqual([
      1,
      expect.stringMatching(/^wrong at position 1 \(seat\/1 at revision 1\): content: /),
    ])
    const changed = file(readFileSync(exported, 'utf8').replace('Ann', 'Eve'))
    const offline = await call(store, 'verify', '--export', changed, '--json')
    expect([offline.code, offline.json()[0].fault.position]).toEqual([1, 1])
    // Where nothing is signed any more, a key finds nothing.
    const bare = newStore()
    await call(bare, 'append', 'seat/1', 'Reserved')
    expect((await call(bare, 'verify')).code).toBe(0)
    const unsigned = await call(bare, 'verify', '--key', key)
    expect([unsigned.code, unsigned.errors]).toEqual([1, expect.stringContaining('nothing is sealed')])
  })
})

test('a file that is no key, checkpoint, proof or export is named, with what is wrong with it', async () => {
  const { store, signer, key, digest } = await sealed()
  const [empty, cut, folder] = [file(''), file(readFileSync(digest, 'utf8').slice(0, 60)), place()]
  const changed = file(readFileSync(digest, 'utf8').replace('\n2\n', '\n1\n'))
  const other = file(newLedgerKeys('cli.example/log').verifierKey)
  mkdirSync(folder)
  const asked = {
    '--checkpoint': ['verify'],
    '--proof': ['verify', '--key', key],
    '--export': ['verify'],
    '--key': ['verify'],
  }
  for (const [option, command] of Object.entries({ ...asked, '--signer-key': ['ledger', 'seal'] })) {
    for (const given of option === '--export' ? [folder, place()] : [empty, cut, folder, place(), other]) {
      const { code, errors } = await call(store, ...command, option, given)
      if (option === '--key' && given === other) continue
      expect([code, errors], `${option} ${given}`).toEqual([2, expect.stringContaining(`${option}: ${given} `)])
    }
  }
  const forged = await call(store, 'verify', '--checkpoint', changed, '--key', key)
  expect([forged.code, forged.errors]).toEqual([1, expect.stringContaining(changed)])
  const against = await call(store, 'ledger', 'prove', '1', '--checkpoint', cut)
  expect([against.code, against.errors]).toEqual([2, expect.stringContaining(cut)])
  // Whoever names a place of digests wants some to be there.
  for (const nothing of [folder, signer, place()]) {
    const { code, errors } = await call(store, 'verify', '--published', `file:${nothing}`)
    expect([code, errors]).toEqual([2, expect.stringContaining(`there is no digest in folder ${nothing}`)])
  }
})

test('digests are published where the log cannot be rewritten with them, and the log is held against all of them', async () => {
  const { store, signer, key } = await sealed()
  const published = `file:${place()}`
  const sealing = ['ledger', 'seal', '--signer-key', signer, '--publish', published]
  expect((await call(store, ...sealing)).code).toBe(0)
  expect((await call(store, 'verify', '--key', key, '--published', published)).output).toContain('against  cli.example')
  // Somebody rewrites the log, and signs it anew with the stolen key.
  const db = new DatabaseSync(store.replace('sqlite:', ''))
  db.exec("DELETE FROM log WHERE position = 2; DELETE FROM document WHERE collection IN ('$ledger', '$tiles')")
  db.exec('UPDATE stream SET revision = 1, position = 1')
  db.close()
  await call(store, 'append', 'seat/1', 'Reserved')
  expect((await call(store, ...sealing)).errors).toContain('rewritten')
  expect((await call(store, 'verify', '--key', key)).code).toBe(0)
  const { code, output } = await call(store, 'verify', '--key', key, '--published', published)
  expect([code, output]).toEqual([1, expect.stringMatching(/^wrong at positions 1 to 2: digest: /)])
})

test('another store witnesses the log by its server or its file, and refuses one that was rewritten', async () => {
  const { store, key } = await sealed()
  const [keeper, own] = [newStore(), place()]
  const witnessKey = (await run(undefined, ['ledger', 'keys', 'witness.example', own, '--witness'])).output.trim()
  const asked = (log: string) => call(keeper, 'ledger', 'witness', log, '--key', key, '--signer-key', own)
  const server = await begin(['serve', '--port', '0', '--store', store])
  const { code, output } = await asked(server.url)
  const { signatures } = openDigest(output, [key, witnessKey])
  expect([code, signatures.map(({ name }) => name)]).toEqual([0, ['cli.example/log', 'witness.example']])
  expect((await asked(store)).output).toBe(output)
  await server.stop()
  const { store: other, signer } = await sealed()
  await call(store, 'ledger', 'seal', '--signer-key', signer)
  expect((await asked(other)).code).toBe(1)
  expect((await call(keeper, 'ledger', 'witness', store, '--key', key)).code).toBe(2)
})

test('a witness goes on until it is told to stop, while the log cannot be reached, and not with one that was rewritten', async () => {
  const { store, signer, key } = await sealed()
  const keeper = newStore()
  const own = file(`${newWitnessKeys('witness.example').signerKey}\n`)
  const late = newStore()
  const args = ['--key', key, '--signer-key', own, '--every', '1', '--store', keeper]
  const watching = start(['ledger', 'witness', late, ...args])
  const told = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    watching[name].on('data', (chunk: Buffer) => {
      told[name] += chunk
    })
  }
  const [output, errors] = [() => told.stdout, () => told.stderr]
  await vi.waitFor(() => expect(errors()).toContain('again in 1 second'), { timeout: 30_000 })
  // A file gets its name once it is whole.
  const copy = place()
  copyFileSync(store.replace('sqlite:', ''), copy)
  renameSync(copy, late.replace('sqlite:', ''))
  await vi.waitFor(() => expect(output()).toMatch(/cli.example\/log\n2\n/), { timeout: 30_000 })
  await call(late, 'append', 'seat/1', 'Reserved')
  await call(late, 'ledger', 'seal', '--signer-key', signer)
  await vi.waitFor(() => expect(output()).toMatch(/cli.example\/log\n3\n/), { timeout: 30_000 })
  watching.kill('SIGTERM')
  expect((await once(watching, 'exit'))[0]).toBe(0)
  expect(output().match(/cli.example/g)).toHaveLength(4)
  const cut = await call(undefined, 'ledger', 'witness', store, ...args)
  expect([cut.code, cut.errors]).toEqual([1, expect.stringContaining('has a digest of 2 events')])
})

test('a server with a signer key seals by itself, and says of one that is none what is wrong', async () => {
  const { store, signer, key } = await sealed()
  const server = await begin(['serve', '--port', '0', '--store', store, '--seal-every', '1'], {
    DAYBOOK_SIGNER_KEY_FILE: signer,
  })
  await fetch(`${server.url}/streams/seat/2/events`, { method: 'POST', body: '{"events":[{"type":"Reserved"}]}' })
  await using reader = await open(store, { readOnly: true, ledger: { verifierKeys: [key] } })
  await vi.waitFor(async () => expect((await reader.ledger.digest())?.size).toBe(3), { timeout: 30_000 })
  expect(await server.stop()).toBe(0)
  vi.stubEnv('DAYBOOK_SIGNER_KEY', 'PRIVATE+KEY+nonsense')
  const { code, errors } = await call(store, 'serve', '--port', '0')
  expect([code, errors]).toEqual([2, expect.stringContaining('DAYBOOK_SIGNER_KEY')])
})
