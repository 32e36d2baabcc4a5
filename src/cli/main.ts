/** The command line as a process. */
import { runCommand } from './program.ts'

// Whoever reads the output may stop reading: `daybook follow | head`.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0)
  throw error
})

await runCommand(process.argv.slice(2))
