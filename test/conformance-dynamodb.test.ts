/** DynamoDB against the contract of storages. */
import { holdToContract } from './contract.ts'
import { missingDynamo } from './engines/dynamodb.ts'
import { dynamodb } from './engines/storages.ts'

holdToContract('dynamodb', { make: dynamodb, missing: missingDynamo(), sideBySide: true })
