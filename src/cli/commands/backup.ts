/** Backups: taken of a store that is in use, listed, and brought back into a storage that is empty. */
import { Command } from 'commander'
import type { Backup } from '../../core/backup.ts'
import { listBackups } from '../../core/backups.ts'
import type { ObjectStore } from '../../core/object-store.ts'
import { checkBackup, type RestoreOptions, restoreBackup } from '../../core/restore.ts'
import { openObjects, openStorage } from '../../open.ts'
import { type StoreChoice, stoppable, storeCommand, withStore } from '../options.ts'
import { lateProgress, plural, print, printJson, printList } from '../output.ts'

export function backupCommand(): Command {
  return storeCommand('backup', 'Back up what has come since the last backup in a place, while the store is in use.')
    .argument('<to>', 'a folder, or s3://BUCKET/PREFIX')
    .action(backup)
}

export function backupsCommand(): Command {
  return new Command('backups')
    .description('Print the backups in a place, the oldest first; together they are the log.')
    .argument('<place>', 'a folder, or s3://BUCKET/PREFIX')
    .option('--json', 'print JSON, for scripts')
    .action(list)
}

export function restoreCommand(): Command {
  return storeCommand('restore', 'Bring the newest backup of a place back, into a store that is empty.')
    .argument('<from>', 'a folder, or s3://BUCKET/PREFIX')
    .option('--dry-run', 'read and check every object, and write nothing')
    .addHelpText('after', '\nOne that was stopped, or broke off, goes on when it is given again.')
    .action(restore)
}

async function backup(to: string, choice: StoreChoice): Promise<void> {
  const taken = await stoppable('nothing of it counts', (signal) =>
    withObjects(to, (objects) =>
      withStore(choice, 'reading', async (store) => {
        const bar = lateProgress('backup')
        const onProgress = ({ position, head }: { position: number; head: number }) => bar.update(position, head)
        return store.backup(objects, { signal, onProgress }).finally(bar.stop)
      }),
    ),
  )
  if (taken) await tell(taken, choice, 'is taken')
}

async function list(place: string, choice: { readonly json?: true }): Promise<void> {
  const backups = await withObjects(place, listBackups)
  await printList(backups, {
    json: choice.json,
    noun: 'backup',
    cells: ({ number, from, to, documents, bytes, madeAt }) => [
      ...[
        `${number}`,
        madeAt,
        to > from ? `positions ${from + 1} to ${to}` : 'no events',
        plural(documents, 'document'),
        plural(bytes, 'byte'),
      ],
    ],
  })
}

async function restore(from: string, choice: StoreChoice & { readonly dryRun?: true }): Promise<void> {
  const { store: url, dryRun } = choice
  const restored = await stoppable('the same again goes on', (signal) =>
    withObjects(from, async (objects) => {
      const storage = dryRun ? undefined : await openStorage(url)
      const bars = { checking: lateProgress('check'), restoring: lateProgress('restore') }
      const options: RestoreOptions = {
        signal,
        onProgress: ({ phase, position, head }) => bars[phase].update(position, head),
      }
      try {
        return await (storage ? restoreBackup(objects, storage, options) : checkBackup(objects, options))
      } finally {
        bars.checking.stop()
        bars.restoring.stop()
        await storage?.close()
      }
    }),
  )
  if (restored) await tell(restored, choice, dryRun ? 'is whole; nothing was written: it was a dry run' : 'is restored')
}

async function tell(backup: Backup, { json }: { readonly json?: true }, what: string): Promise<void> {
  if (json) return printJson(backup)
  const { number, to, documents } = backup
  await print(`backup ${number} ${what}: ${plural(to, 'event')}, ${plural(documents, 'document')}`)
}

async function withObjects<Result>(place: string, run: (objects: ObjectStore) => Promise<Result>): Promise<Result> {
  const objects = await openObjects(place)
  try {
    return await run(objects)
  } finally {
    await objects.close()
  }
}
