import { writeFile } from 'node:fs/promises'
import { type Command, Command as Group } from 'commander'
import { base64Of } from '../../core/base64.ts'
import { keyBytes } from '../../core/cipher.ts'
import { InvalidArgument } from '../../core/errors.ts'
import { secureRandom } from '../../core/id.ts'
import { masterKeyFrom } from '../../core/master-key.ts'
import { type AppChoice, appCommand, type StoreChoice, stoppable, storeCommand, withStore } from '../options.ts'
import { createProgress, lateProgress, note, plural, print, printJson } from '../output.ts'

/** The master key of an encrypted store. */
export function encryptionCommand(): Command {
  return new Group('encryption')
    .description('The master key of what is encrypted.')
    .addCommand(
      new Group('new-key')
        .description('Make a master key: print it, or write it into a new file that only you may read.')
        .argument('[file]', 'where to')
        .option('--json', 'print JSON, for scripts')
        .action(newKey),
    )
    .addCommand(storeCommand('status', 'Print which master keys the keys of subjects are wrapped by.').action(status))
    .addCommand(
      storeCommand('rotate', 'Wrap the keys of all subjects by the first master key that is given.').action(rotate),
    )
    .addCommand(
      appCommand(
        'find-subjects',
        'Look for subjects in what was recorded before it was declared whom it concerns.',
        'optional',
      ).action(findSubjects),
    )
}

async function newKey(file: string | undefined, { json }: { readonly json?: true }): Promise<void> {
  const key = base64Of(secureRandom()(keyBytes))
  const { id } = masterKeyFrom(key)
  if (file === undefined) {
    if (json) return printJson({ id, key })
    await print(key)
    note(`This is the only time that the key ${id} is shown; without it, nothing that it encrypts can be read again.`)
    return
  }
  await writeFile(file, `${key}\n`, { mode: 0o600, flag: 'wx' }).catch((error: NodeJS.ErrnoException) => {
    throw new InvalidArgument('file', error.code === 'EEXIST' ? `${file} is there already` : error.message)
  })
  if (json) await printJson({ id, file })
  else await print(`master key ${id} is in ${file}; keep a copy of it elsewhere`)
}

async function status(choice: StoreChoice): Promise<void> {
  const found = await withStore(choice, 'reading', (store) => store.encryption.status())
  if (choice.json) return printJson(found)
  const { masterKey, keys, plain, forgotten } = found
  for (const { masterKey: id, subjects } of keys) {
    await print(`${id}  ${plural(subjects, 'subject')}${id === masterKey ? '  (in use)' : ''}`)
  }
  await print(`${plural(plain, 'subject')} without a key, ${plural(forgotten, 'forgotten subject')}`)
}

async function rotate(choice: StoreChoice): Promise<void> {
  const report = await stoppable('to go on, rotate again', (signal) =>
    withStore(choice, 'writing', async (store) => {
      const progress = createProgress('keys', 0)
      try {
        return await store.encryption.rotate({ signal, onProgress: ({ rotated }) => progress.update(rotated) })
      } finally {
        progress.stop()
      }
    }),
  )
  if (report === undefined) return
  if (choice.json) await printJson(report)
  else await print(`${plural(report.rotated, 'key')} wrapped by master key ${report.masterKey}`)
}

async function findSubjects(choice: AppChoice): Promise<void> {
  const report = await stoppable('to go on, call it again', (signal) =>
    withStore(choice, 'writing', async (store) => {
      const progress = lateProgress('positions')
      const onProgress = ({ position, head }: { position: number; head: number }) => progress.update(position, head)
      try {
        return await store.encryption.findSubjects({ signal, onProgress })
      } finally {
        progress.stop()
      }
    }),
  )
  if (report === undefined) return
  if (choice.json) return printJson(report)
  const { position, own, encrypted, plain, forgotten, unclear } = report
  await print(`looked through up to position ${position}; found ${plural(own, 'stream')} of a subject's own`)
  await print(`and ${plural(encrypted, 'other')} with something encrypted, ${plain} with plain text`)
  if (unclear > 0) await print(`${plural(unclear, 'event')} with personal data that do not say whose`)
  for (const subject of forgotten) await print(`${subject} was forgotten before: forget it again`)
}
