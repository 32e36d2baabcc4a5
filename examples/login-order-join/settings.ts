/** What the environment says. */

export interface Settings {
  /** How late an event may come, and still stand at its own time. */
  readonly latenessMs: number
  /** So many events to read behind a user's snapshot ask for a new one. */
  readonly snapshotEvery: number
  /** So does a fold that took so long. */
  readonly snapshotSlowerMs: number
}

/** Throws an error that names the variable. */
export function settingsOf(env: Readonly<Record<string, string | undefined>>): Settings {
  const number = (name: string, otherwise: number, least: number) => {
    const text = env[name] || String(otherwise)
    const value = Number(text)
    if (/^\d+$/.test(text) && Number.isSafeInteger(value) && value >= least) return value
    throw new Error(`${name} must be a whole number, ${least} or more, and not ${JSON.stringify(text)}`)
  }
  return {
    latenessMs: number('LATENESS_MS', 60_000, 0),
    snapshotEvery: number('SNAPSHOT_EVERY', 100, 1),
    snapshotSlowerMs: number('SNAPSHOT_SLOWER_MS', 50, 1),
  }
}
