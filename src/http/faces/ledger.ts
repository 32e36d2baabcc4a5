/** The ledger of a store behind a server: no route of a server serves it, so that each call says where to ask. */
import { Unsupported } from '../../core/errors.ts'
import type { Ledger } from '../../core/ledger.ts'

export function ledgerElsewhere(): Ledger {
  const elsewhere = () =>
    new Unsupported('ledger', 'A server serves no ledger; ask a store that is opened on its storage')
  const refused = () => Promise.reject(elsewhere())
  return {
    ...{ seal: refused, digest: refused, prove: refused, proveConsistency: refused, verify: refused, tile: refused },
    history() {
      throw elsewhere()
    },
  }
}
