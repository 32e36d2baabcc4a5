import { type Command, Command as Group } from 'commander'
import type { Storage } from '../../core/storage.ts'
import { openKeys } from '../../http/keys.ts'
import { openStorage } from '../../open.ts'
import { collect, type StoreChoice, storeCommand } from '../options.ts'
import { note, print, printJson, printList } from '../output.ts'

interface AddChoice extends StoreChoice {
  readonly scope: readonly string[]
  readonly expires?: string
}

/** API keys of a server over this store. A server takes up what is changed here within 5 seconds. */
export function keysCommand(): Command {
  return new Group('keys')
    .description('API keys for the HTTP server over a store.')
    .addCommand(
      storeCommand('add', 'Make a key, and show it this once.')
        .argument('<name>', 'who has it; stands in the audit line')
        .requiredOption(
          '--scope <scope>',
          'what it may do (may be repeated): read:permit, append:*, forget:permit, view:customers, operate, manage, *',
          collect,
        )
        .option('--expires <instant>', 'when it ends to be valid; without it, never')
        .action(add),
    )
    .addCommand(storeCommand('list', 'Print what is known of the keys; none of it opens anything.').action(list))
    .addCommand(storeCommand('revoke', 'Take a key out of use.').argument('<name or id>', 'which one').action(revoke))
}

async function add(name: string, { scope, expires, ...choice }: AddChoice): Promise<void> {
  await withStorage(choice, async (storage) => {
    const keys = await openKeys(storage)
    const key = await keys.add({ name, scopes: scope, ...(expires !== undefined && { expiresAt: expires }) })
    if (choice.json) return printJson(key)
    await print(key.token)
    note('This is the only time that the key is shown. A server that runs without access rules wants to be restarted.')
  })
}

async function list(choice: StoreChoice): Promise<void> {
  await withStorage(choice, async (storage) => {
    const all = await (await openKeys(storage)).list()
    await printList(all, {
      json: choice.json,
      noun: 'key',
      cells: ({ id, name, scopes, createdAt, expiresAt }) => [
        ...[id, name, scopes.join(' '), `made ${createdAt}`],
        ...(expiresAt === null ? [] : [`until ${expiresAt}`]),
      ],
    })
  })
}

async function revoke(nameOrId: string, choice: StoreChoice): Promise<void> {
  await withStorage(choice, async (storage) => {
    const key = await (await openKeys(storage)).revoke(nameOrId)
    if (choice.json) await printJson(key)
    else await print(`revoked ${key.name} (${key.id})`)
  })
}

async function withStorage({ store }: StoreChoice, run: (storage: Storage) => Promise<void>): Promise<void> {
  const storage = await openStorage(store)
  try {
    await run(storage)
  } finally {
    await storage.close()
  }
}
