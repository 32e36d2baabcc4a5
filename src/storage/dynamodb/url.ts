/** A table from a URL: `dynamodb:shop?region=eu-central-1&endpoint=http://localhost:8000&sequencer=elsewhere`. */
import { InvalidArgument } from '../../core/errors.ts'
import type { DynamoOptions } from './options.ts'

const example = 'dynamodb:shop?region=eu-central-1'
const known = ['region', 'endpoint', 'sequencer']

/** Throws `InvalidArgument` for what is no such URL, and for a setting that it does not know. */
export function parseDynamoUrl(url: string): DynamoOptions {
  const parts = /^dynamodb:([^?#]*)(?:\?([^#]*))?$/.exec(url)
  if (parts === null) throw new InvalidArgument('store', `is no URL of a DynamoDB table; write ${example}`)
  const [, table = '', query = ''] = parts
  if (table === '') throw new InvalidArgument('store', `names no table; write ${example}`)
  const settings = new URLSearchParams(query)
  for (const name of settings.keys()) {
    if (!known.includes(name)) {
      throw new InvalidArgument('store', `"${name}" is no setting of a table; there are ${known.join(', ')}`)
    }
    if (settings.getAll(name).length > 1) throw new InvalidArgument('store', `"${name}" stands twice`)
    if (settings.get(name) === '') throw new InvalidArgument('store', `"${name}" is empty`)
  }
  const region = settings.get('region')
  const endpoint = settings.get('endpoint')
  const sequencer = settings.get('sequencer')
  if (sequencer !== null && sequencer !== 'here' && sequencer !== 'elsewhere') {
    throw new InvalidArgument('store', '"sequencer" must be "here" or "elsewhere"')
  }
  return {
    table,
    ...(region !== null && { region }),
    ...(endpoint !== null && { endpoint: checkEndpoint(endpoint) }),
    ...(sequencer !== null && { sequencer }),
  }
}

/** Credentials come from the SDK's own settings; in a URL they would end up in messages. */
function checkEndpoint(endpoint: string): string {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined
  const web = url?.protocol === 'http:' || url?.protocol === 'https:'
  if (url === undefined || !web || url.username !== '' || url.password !== '') {
    throw new InvalidArgument('store', '"endpoint" must be a web address without a password, as http://localhost:8000')
  }
  return endpoint
}
