import { describe, expect, test } from 'vitest'
import { parseDynamoUrl } from './url.ts'

describe('the URL of a table', () => {
  test('names the table, and where it is, and who gives positions', () => {
    expect(parseDynamoUrl('dynamodb:shop')).toEqual({ table: 'shop' })
    const url = 'dynamodb:shop?region=eu-central-1&endpoint=http%3A%2F%2Flocalhost:8000&sequencer=elsewhere'
    const endpoint = 'http://localhost:8000'
    expect(parseDynamoUrl(url)).toEqual({ table: 'shop', region: 'eu-central-1', endpoint, sequencer: 'elsewhere' })
    expect(parseDynamoUrl(`dynamodb:shop?endpoint=${endpoint}&sequencer=here`)).toEqual({
      ...{ table: 'shop', endpoint, sequencer: 'here' },
    })
  })

  test.each([
    ['sqlite:shop', 'no URL of a DynamoDB table'],
    ['dynamodb:', 'names no table'],
    ['dynamodb:?region=eu-central-1', 'names no table'],
    ['dynamodb:shop#1', 'no URL of a DynamoDB table'],
    ['dynamodb:shop?regoin=eu-central-1', '"regoin" is no setting of a table; there are region, endpoint, sequencer'],
    ['dynamodb:shop?region=a&region=b', '"region" stands twice'],
    ['dynamodb:shop?region=', '"region" is empty'],
    ['dynamodb:shop?sequencer=lambda', '"sequencer" must be "here" or "elsewhere"'],
    ['dynamodb:shop?endpoint=localhost:8000', '"endpoint" must be a web address'],
    ['dynamodb:shop?endpoint=http://me:secret@localhost', 'without a password'],
  ])('%s is refused, and says why', (url, reason) => {
    expect(() => parseDynamoUrl(url)).toThrow(reason)
    expect(() => parseDynamoUrl(url)).not.toThrow('secret')
  })
})
