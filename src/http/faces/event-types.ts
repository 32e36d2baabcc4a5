/** The client's event types: the server's, which hold for whoever writes. */
import { checkObject } from '../../core/argument.ts'
import type { EventTypes } from '../../core/catalogue.ts'
import { canonicalJson } from '../../core/encoding.ts'
import type { EventType } from '../../core/event-type.ts'
import { limits } from '../../core/limits.ts'
import { checkEventType, checkName } from '../../core/name.ts'
import { segment } from '../parameters.ts'
import type { Requester } from '../request.ts'

export function eventTypesOver({ ask }: Requester): EventTypes {
  return {
    async declare(declaration, options = {}) {
      checkObject(declaration, 'declaration')
      checkObject(options, 'options')
      const { type, ...body } = declaration
      checkEventType(type, 'type')
      for (const name of ['schema', 'upcast'] as const) if (body[name] !== undefined) canonicalJson(body[name], name)
      return ask('PUT', pathOf(type), { body, ...(options.signal && { signal: options.signal }) })
    },
    list: async () => (await ask<{ eventTypes: readonly EventType[] }>('GET', '/event-types')).eventTypes,
    async get(type) {
      return ask('GET', pathOf(type), { absent: 'event-type-not-found' })
    },
    async retire(type) {
      return ask('POST', `${pathOf(type)}/retire`)
    },
  }
}

function pathOf(type: string): string {
  checkName(type, 'type', 'event type', limits.eventTypeCharacters)
  return `/event-types/${segment(type, 'type')}`
}
