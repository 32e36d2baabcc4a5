/**
 * Inline views as this process wrote them last, so that the next event need not read them. Whatever is folded on them is
 * guarded by their version: where somebody else has written meanwhile, the commit is refused, and the view is read from then on.
 */
import { limits } from './limits.ts'

export interface KeptView {
  readonly version: string
  readonly body: string
}

export interface RecentViews {
  get(id: string): KeptView | undefined
  keep(id: string, view: KeptView): void
  /** Others write it too, so that what is kept would be refused again and again. */
  share(id: string): void
}

export function createRecentViews(): RecentViews {
  /** The one that was written longest ago first. */
  const views = new Map<string, KeptView | 'shared'>()
  let characters = 0

  function set(id: string, view: KeptView | 'shared'): void {
    remove(id)
    views.set(id, view)
    characters += sizeOf(view)
    for (const oldest of views.keys()) {
      if (views.size <= limits.foldViews && characters <= limits.foldViewCharacters) break
      remove(oldest)
    }
  }

  function remove(id: string): void {
    const view = views.get(id)
    if (view === undefined) return
    characters -= sizeOf(view)
    views.delete(id)
  }

  return {
    get(id) {
      const view = views.get(id)
      return view === 'shared' ? undefined : view
    },
    keep(id, view) {
      if (views.get(id) !== 'shared') set(id, view)
    },
    share: (id) => set(id, 'shared'),
  }
}

function sizeOf(view: KeptView | 'shared'): number {
  return view === 'shared' ? 0 : view.body.length
}
