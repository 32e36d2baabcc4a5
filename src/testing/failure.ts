/** What a test that fails shows: what is wrong in words, the difference below, and the line of the test at the top. */
import assert from 'node:assert/strict'

/** The function of the kit that the test has called. */
export type Caller = (...args: never[]) => unknown

/** Runs the check. Where it fails, an `AssertionError` says so in these words, with the check's own difference. */
export function failed(words: string, caller: Caller, check: () => void): void {
  try {
    check()
  } catch (error) {
    const { message, actual = error, expected } = error as Partial<assert.AssertionError>
    throw new assert.AssertionError({
      message: `${words}:\n${(message ?? String(error)).trimEnd()}`,
      actual,
      expected,
      // None that Node knows: to a message of its own operators it would add the difference once more.
      operator: caller.name,
      stackStartFn: caller,
    })
  }
}
