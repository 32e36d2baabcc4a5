/** The object stores that a command works with: named by its options, or by the application's definitions. */
import { Option } from 'commander'
import type { AppDefinition, AppPlaces } from '../core/app.ts'
import { archiveKind, statesKind } from '../core/job.ts'
import type { ObjectStore } from '../core/object-store.ts'
import { checkRetention, type Retention } from '../core/retention.ts'
import type { ScheduleOptions } from '../core/schedule.ts'
import type { StoreOptions } from '../core/store-options.ts'
import { openObjects } from '../open.ts'

export interface PlacesChoice extends AppPlaces {
  readonly retention?: Retention
}

export interface OpenPlaces extends AsyncDisposable {
  readonly options: Pick<StoreOptions, 'archive' | 'backups' | 'states'>
  /** With what workers do in these places by schedule, unless the application has a schedule of the same name. */
  scheduling(app: AppDefinition): AppDefinition
}

export const archiveOption = () =>
  new Option('--archive <place>', 'where archived events are: a folder, or s3://BUCKET/PREFIX').env('DAYBOOK_ARCHIVE')

export const backupsOption = () =>
  new Option('--backups <place>', 'where backups are kept: a folder, or s3://BUCKET/PREFIX').env('DAYBOOK_BACKUPS')

export const statesOption = () =>
  new Option('--states <place>', 'where state snapshots are kept: a folder, or s3://BUCKET/PREFIX').env(
    'DAYBOOK_STATES',
  )

/** `parse`: how a text of JSON is read. */
export const retentionOption = (parse: (text: string) => unknown) =>
  new Option(
    '--retention <json>',
    'what stays in the storage, beside what the application says: {"order":{"keepDays":365}}',
  )
    .env('DAYBOOK_RETENTION')
    .argParser((text) => {
      const retention = parse(text) as Retention
      checkRetention(retention, '--retention')
      return retention
    })

export async function openPlaces(choice: PlacesChoice, app: AppDefinition): Promise<OpenPlaces> {
  const opened: ObjectStore[] = []
  const at = async (name: keyof AppPlaces): Promise<ObjectStore | undefined> => {
    const place = choice[name] ?? app.places?.[name]
    if (place === undefined) return undefined
    const objects = await openObjects(place)
    opened.push(objects)
    return objects
  }
  const retention = { ...app.retention, ...choice.retention }
  const [archive, backups, states] = [await at('archive'), await at('backups'), await at('states')]
  const archives = archive !== undefined && Object.keys(retention).length > 0
  const own: Record<string, ScheduleOptions> = {
    ...(archives && { [archiveKind]: { cron: daily, kind: archiveKind } }),
    ...(states && { [statesKind]: { cron: monthly, kind: statesKind } }),
  }
  return {
    options: {
      ...(archive && { archive: { objects: archive, retention } }),
      ...(backups && { backups: [backups] }),
      ...(states && { states }),
    },
    scheduling: ({ schedules, ...rest }) => ({ ...rest, schedules: { ...own, ...schedules } }),
    async [Symbol.asyncDispose]() {
      for (const objects of opened) await objects.close()
    },
  }
}

/** In UTC. */
const daily = '0 3 * * *'
const monthly = '0 0 1 * *'
