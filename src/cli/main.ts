/** The command line: one file a command, this one to call them and to say what went wrong. */
import { readFileSync } from 'node:fs'
import { Command, CommanderError } from 'commander'
import { appendCommand } from './commands/append.ts'
import { exportCommand } from './commands/export.ts'
import { followCommand } from './commands/follow.ts'
import { forgetCommand } from './commands/forget.ts'
import { importCommand } from './commands/import.ts'
import { infoCommand } from './commands/info.ts'
import { keysCommand } from './commands/keys.ts'
import { readCommand } from './commands/read.ts'
import { serveCommand } from './commands/serve.ts'
import { streamsCommand } from './commands/streams.ts'
import { tableCommand } from './commands/table.ts'
import { exitCodeOf, exitCodes, printError } from './output.ts'

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string
}

const program = new Command('daybook')
  .description('An event store and system of record.')
  .version(version)
  .exitOverride()
  .addHelpText(
    'after',
    `\nExit codes: ${Object.entries(exitCodes)
      .map(([name, code]) => `${code} ${name}`)
      .join(', ')}`,
  )

const commands = [
  serveCommand,
  appendCommand,
  readCommand,
  followCommand,
  streamsCommand,
  forgetCommand,
  importCommand,
  exportCommand,
  infoCommand,
  keysCommand,
  tableCommand,
]
for (const command of commands) program.addCommand(withoutExit(command()))

/** Errors of a command's words end here too, and not in the middle of commander. */
function withoutExit(command: Command): Command {
  for (const part of command.commands) withoutExit(part)
  return command.exitOverride()
}

// Whoever reads the output may stop reading: `daybook follow | head`.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0)
  throw error
})

try {
  await program.parseAsync()
} catch (error) {
  // Commander has said already what is wrong with the words of the call.
  const usage = error instanceof CommanderError
  if (!usage) printError(error)
  process.exitCode = usage ? (error.exitCode === 0 ? exitCodes.done : exitCodes['bad input']) : exitCodeOf(error)
}
