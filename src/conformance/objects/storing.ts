/** Object stores: what was put is there, whole and for everybody; of rivals one wins; lists leave nothing out. */
import assert from 'node:assert/strict'
import { limits } from '../../core/limits.ts'
import { listObjects, type ObjectStore } from '../../core/object-store.ts'
import { cases, type OpenObjects, range } from '../kit.ts'

export const storing = (open: OpenObjects) =>
  cases(open, {
    'An object is what was put last, byte by byte, and seen by everybody': async (open) => {
      const [here, there] = [await open(), await open()]
      const bytes = Uint8Array.from({ length: 70_000 }, (_, index) => (index * 7 + (index >> 8)) % 256)
      await here.put('a/b/c.bin', bytes)
      assert.deepEqual(await contentOf(there, 'a/b/c.bin'), [...bytes])
      await there.put('a/b/c.bin', Uint8Array.of())
      assert.deepEqual(await contentOf(here, 'a/b/c.bin'), [])
      assert.equal(await here.get('a/b/d.bin'), undefined)
      assert.equal(await here.get('a/b'), undefined)
    },

    'An object that must be absent is written once, and stays as it is': async (open) => {
      const objects = await open()
      const first = await objects.put('segment', text('one'), { if: 'absent' })
      assert.equal(first.outcome, 'written')
      assert.deepEqual(await objects.put('segment', text('two'), { if: 'absent' }), { outcome: 'conflict' })
      assert.deepEqual(await contentOf(objects, 'segment'), [...text('one')])
    },

    'An object is replaced only where it is the one that was read': async (open) => {
      const objects = await open()
      const absent = await objects.put('digest', text('one'), { if: 'unchanged', etag: 'never given' })
      assert.deepEqual(absent, { outcome: 'conflict' })
      const first = await objects.put('digest', text('one'))
      assert.ok(first.outcome === 'written')
      assert.equal((await objects.get('digest'))?.etag, first.etag)
      const second = await objects.put('digest', text('two'), { if: 'unchanged', etag: first.etag })
      assert.ok(second.outcome === 'written')
      const late = await objects.put('digest', text('three'), { if: 'unchanged', etag: first.etag })
      assert.deepEqual(late, { outcome: 'conflict' })
      assert.deepEqual(await contentOf(objects, 'digest'), [...text('two')])
      await objects.delete('digest')
      const gone = await objects.put('digest', text('three'), { if: 'unchanged', etag: second.etag })
      assert.deepEqual(gone, { outcome: 'conflict' })
    },

    'Of those who write one object at the same time exactly one wins': async (open) => {
      const [here, there] = [await open(), await open()]
      for (const round of range(1, 5)) {
        const key = `races/${round}`
        const made = await Promise.all(
          range(1, 8).map((n) => (n % 2 ? here : there).put(key, text(String(n)), { if: 'absent' })),
        )
        assert.equal(made.filter(({ outcome }) => outcome === 'written').length, 1)
        const { etag } = (await here.get(key)) ?? assert.fail('it is not there')
        const changed = await Promise.all(
          range(1, 8).map((n) => (n % 2 ? here : there).put(key, text(`next ${n}`), { if: 'unchanged', etag })),
        )
        assert.equal(changed.filter(({ outcome }) => outcome === 'written').length, 1)
        const winner = changed.findIndex(({ outcome }) => outcome === 'written') + 1
        assert.deepEqual(await contentOf(there, key), [...text(`next ${winner}`)])
      }
    },

    'Counting up by guarded writes loses no step': async (open) => {
      const all = [await open(), await open()]
      await all[0]?.put('count', text('0'))
      await Promise.all(
        all.map(async (objects) => {
          for (let done = 0; done < 10; ) {
            const { bytes, etag } = (await objects.get('count')) ?? assert.fail('it is not there')
            const next = text(String(Number(new TextDecoder().decode(bytes)) + 1))
            if ((await objects.put('count', next, { if: 'unchanged', etag })).outcome === 'written') done++
          }
        }),
      )
      assert.deepEqual(await contentOf(all[0] as ObjectStore, 'count'), [...text('20')])
    },

    'A list gives every object under a prefix once, in order of bytes, with its size': async (open) => {
      const objects = await open()
      const keys = ['a', 'a-b/1', 'a.b', 'ab/10', 'ab/2', 'ab/B', 'ab/b', 'ab/b0/x', 'ab/b1', 'b/1']
      for (const key of keys.toReversed()) await objects.put(key, text(key))
      const list = async (prefix: string, after?: string) =>
        (await objects.list({ prefix, limit: 100, ...(after !== undefined && { after }) })).objects
      assert.deepEqual(
        await list(''),
        keys.map((key) => ({ key, bytes: key.length })),
      )
      const inside = keys.filter((key) => key.startsWith('ab/'))
      assert.deepEqual(keysOf(await list('ab/')), inside)
      assert.deepEqual(keysOf(await list('ab/', 'ab/B')), inside.slice(3))
      assert.deepEqual(keysOf(await list('ab/b')), ['ab/b', 'ab/b0/x', 'ab/b1'])
      assert.deepEqual(await list('c'), [])
      const page = await objects.list({ prefix: 'ab/', limit: 2 })
      assert.deepEqual([keysOf(page.objects), page.more], [inside.slice(0, 2), true])
      const rest = await objects.list({ prefix: 'ab/', limit: 4, after: 'ab/2' })
      assert.deepEqual([keysOf(rest.objects), rest.more], [inside.slice(2), false])
      const walked: string[] = []
      for await (const { key } of listObjects(objects, 'a')) walked.push(key)
      assert.deepEqual(walked, keys.slice(0, -1))
    },

    'What is deleted is gone, and can be deleted and put again': async (open) => {
      const objects = await open()
      await objects.put('a/one', text('one'))
      await objects.put('a/two', text('two'))
      await objects.delete('a/one')
      await objects.delete('a/one')
      await objects.delete('never/there')
      assert.equal(await objects.get('a/one'), undefined)
      assert.deepEqual(keysOf((await objects.list({ prefix: 'a/', limit: 10 })).objects), ['a/two'])
      assert.equal((await objects.put('a/one', text('again'), { if: 'absent' })).outcome, 'written')
    },

    'A key that leads elsewhere, or that no file could have, is refused': async (open) => {
      const objects = await open()
      const long = 'x'.repeat(limits.objectKeyBytes + 1)
      for (const key of ['', '/a', 'a/', 'a//b', '..', 'a/../b', '.hidden', 'a/.b', 'ä', 'a b', 'a\\b', 'a\0', long]) {
        await assert.rejects(objects.put(key, text('x')), { code: 'invalid-argument' }, JSON.stringify(key))
        await assert.rejects(objects.get(key), { code: 'invalid-argument' })
        await assert.rejects(objects.delete(key), { code: 'invalid-argument' })
      }
      for (const limit of [0, 1.5, limits.objectPage + 1]) {
        await assert.rejects(objects.list({ prefix: '', limit }), { code: 'invalid-argument' })
      }
      await assert.rejects(objects.list({ prefix: '../', limit: 1 }), { code: 'invalid-argument' })
    },
  })

function text(content: string): Uint8Array {
  return new TextEncoder().encode(content)
}

async function contentOf(objects: ObjectStore, key: string): Promise<readonly number[] | undefined> {
  const found = await objects.get(key)
  return found && [...found.bytes]
}

function keysOf(objects: readonly { readonly key: string }[]): readonly string[] {
  return objects.map(({ key }) => key)
}
