/** Effects: what a handler hands back, to be committed together with the end of its work. All of it is there, or nothing. */
import { type Appending, prepareCommit, type StreamEvents } from './append.ts'
import { checkList, checkObject } from './argument.ts'
import { InvalidArgument } from './errors.ts'
import type { AppendCondition } from './query.ts'
import type { Commit, DocumentWrite } from './storage.ts'

export interface Effect {
  /**
   * With event ids of their own (`derivedId`), they are recorded once even where the work is asked for once more. Where all
   * of them are in the log already the work is done.
   */
  readonly appends?: readonly StreamEvents[]
  readonly condition?: AppendCondition
  readonly documents?: readonly DocumentWrite[]
}

/** Throws as an append would; nothing is written then. */
export async function prepareEffect(
  writing: Pick<Appending, 'making' | 'upcasters'>,
  { appends = [], condition, documents = [] }: Effect,
): Promise<Pick<Commit, 'appends' | 'condition' | 'documents'>> {
  checkList(appends, 'appends')
  checkList(documents, 'documents')
  for (const [index, write] of documents.entries()) checkObject(write, `documents[${index}]`)
  if (appends.length > 0) {
    const { documents: guards = [], ...prepared } = await prepareCommit(writing, appends, condition)
    return { ...prepared, documents: [...documents, ...guards] }
  }
  if (condition !== undefined) throw new InvalidArgument('condition', 'guards appends, and there are none')
  return { appends: [], documents }
}
