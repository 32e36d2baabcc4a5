/** All commands, one file each; this one calls them, and says what went wrong. */
import { readFileSync } from 'node:fs'
import { Command, CommanderError } from 'commander'
import { appendCommand } from './commands/append.ts'
import { archiveCommand } from './commands/archive.ts'
import { backupCommand, backupsCommand, restoreCommand } from './commands/backup.ts'
import { consumersCommand } from './commands/consumers.ts'
import { eventTypesCommand } from './commands/event-types.ts'
import { exportCommand } from './commands/export.ts'
import { followCommand } from './commands/follow.ts'
import { forgetCommand } from './commands/forget.ts'
import { importCommand } from './commands/import.ts'
import { infoCommand } from './commands/info.ts'
import { jobsCommand } from './commands/jobs.ts'
import { keysCommand } from './commands/keys.ts'
import { projectionsCommand } from './commands/projections.ts'
import { readCommand } from './commands/read.ts'
import { replayCommand, replaysCommand } from './commands/replay.ts'
import { schedulesCommand } from './commands/schedules.ts'
import { serveCommand } from './commands/serve.ts'
import { snapshotsCommand } from './commands/snapshots.ts'
import { statesCommand } from './commands/states.ts'
import { streamsCommand } from './commands/streams.ts'
import { tableCommand } from './commands/table.ts'
import { viewsCommand } from './commands/views.ts'
import { workCommand } from './commands/work.ts'
import { exitCodeOf, exitCodes, printError } from './output.ts'

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string
}

/** As the help shows them. */
const groups: Readonly<Record<string, readonly (() => Command)[]>> = {
  'Running:': [serveCommand, workCommand],
  'Events:': [appendCommand, readCommand, followCommand, streamsCommand, forgetCommand, importCommand, exportCommand],
  'Views:': [viewsCommand, projectionsCommand, replayCommand, replaysCommand],
  'Background:': [consumersCommand, jobsCommand, schedulesCommand, snapshotsCommand],
  'Archive and backup:': [archiveCommand, backupCommand, backupsCommand, restoreCommand, statesCommand],
  'The store:': [infoCommand, eventTypesCommand, keysCommand, tableCommand],
}

/** Runs what the words say; the exit code is left in `process.exitCode`. */
export async function runCommand(words: readonly string[]): Promise<void> {
  try {
    await programOf().parseAsync(words, { from: 'user' })
  } catch (error) {
    // Commander has said already what is wrong with the words of the call.
    const usage = error instanceof CommanderError
    if (!usage) printError(error, words.includes('--json') ? 'for scripts' : 'for people')
    process.exitCode = usage ? (error.exitCode === 0 ? exitCodes.done : exitCodes['bad input']) : exitCodeOf(error)
  }
}

function programOf(): Command {
  const program = new Command('daybook')
    .description('An event store and system of record.')
    .version(version)
    .exitOverride()
    // `--version` behind a command is that command's.
    .enablePositionalOptions()
    .addHelpText(
      'after',
      `\nExit codes: ${Object.entries(exitCodes)
        .map(([name, code]) => `${code} ${name}`)
        .join(', ')}`,
    )
  for (const [heading, commands] of Object.entries(groups)) {
    for (const command of commands) program.addCommand(withoutExit(command().helpGroup(heading)))
  }
  return program
}

/** Errors of a command's words end here too, and not in the middle of commander. */
function withoutExit(command: Command): Command {
  for (const part of command.commands) withoutExit(part)
  return command.exitOverride()
}
