/** The client's forgetting, of a stream or of a subject; the server does it. */
import { checkObject } from '../../core/argument.ts'
import type { ForgetOptions, ForgetReport } from '../../core/forget.ts'
import type { Forget, ForgetSubject, SubjectReport } from '../../core/forget-subject.ts'
import { derivedId } from '../../core/id.ts'
import { checkStream } from '../../core/name.ts'
import type { Requester } from '../request.ts'

export function forgetOver({ ask }: Requester): Forget {
  async function forget(stream: string, options: ForgetOptions): Promise<ForgetReport>
  async function forget(subject: ForgetSubject): Promise<SubjectReport>
  async function forget(what: string | ForgetSubject, options?: ForgetOptions): Promise<ForgetReport | SubjectReport> {
    if (typeof what === 'object') {
      checkObject(what, 'options')
      const { subject, signal, ...body } = what
      checkStream(subject, 'subject')
      return ask('POST', `${pathOf('/subjects', subject)}/forget`, { body, signal })
    }
    checkStream(what)
    checkObject(options, 'options')
    const { signal, ...body } = options as ForgetOptions
    const ids = [derivedId(['tombstone', what])]
    return ask('POST', `${pathOf('/streams', what)}/forget`, { body, signal, ids })
  }
  return forget
}

export function pathOf(root: '/streams' | '/subjects', name: string): string {
  const slash = name.indexOf('/')
  return `${root}/${name.slice(0, slash)}/${encodeURIComponent(name.slice(slash + 1))}`
}
