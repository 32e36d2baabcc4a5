/** The store's backups, in the one place that it was opened with: whoever asks a server for one names no place of its own. */
import { type BackingUp, type Backup, type BackupOptions, backupOf, readChain, takeBackup } from './backup.ts'
import { Unsupported } from './errors.ts'
import { type ObjectStore, watchedObjects } from './object-store.ts'

export interface Backups {
  /** Everything since the last one; without news it is that one again. Throws `StoreBusy`, `LogDiverged`, `ObjectDamaged`. */
  take(options?: BackupOptions): Promise<Backup>
  /** All that were taken there, the oldest first. Throws `ObjectDamaged` where one of them is missing. */
  list(): Promise<readonly Backup[]>
}

export function createBackups(backingUp: BackingUp, objects: ObjectStore | undefined): Backups {
  const opened = (): ObjectStore => {
    if (objects !== undefined) return objects
    throw new Unsupported('backups', 'The store was opened without a place for backups; give openStore { backups }')
  }
  return {
    take: async (options) => takeBackup(backingUp, opened(), options),
    list: async () => listBackups(opened()),
  }
}

/** Of a place, whatever log they are of. */
export async function listBackups(objects: ObjectStore): Promise<readonly Backup[]> {
  return (await readChain(watchedObjects(objects))).map(({ manifest }) => backupOf(manifest))
}
