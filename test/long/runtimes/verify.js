/** What a verifier has from others: a proof, two digests with the proof between them, an export as a stream; and the same, changed. */
import { checkConsistency, checkProof, verifyExport } from 'daybook/verify'

export async function verifyAll() {
  const { proof, consistency, from, to, verifierKeys } = await (await fetch('/verify.json')).json()
  const { event, digest } = checkProof(proof, verifierKeys)
  const forged = { ...proof, content: proof.content.replace('Ann', 'Eve') }
  const exported = () => fetch('/export.ndjson').then((response) => response.body)
  const whole = await verifyExport(await exported(), { checkpoint: from, verifierKeys })
  const decoder = new TextDecoder()
  const changing = new TransformStream({
    transform(chunk, controller) {
      const text = decoder.decode(chunk, { stream: true })
      controller.enqueue(new TextEncoder().encode(text.replace('"n":500', '"n":501')))
    },
  })
  const changed = await verifyExport((await exported()).pipeThrough(changing), { checkpoint: from, verifierKeys })
  return {
    proof: { data: event.data, size: digest.size },
    forged: partOf(() => checkProof(forged, verifierKeys)),
    consistency: partOf(() => checkConsistency(consistency, { from, to }, verifierKeys)),
    inconsistency: partOf(() => checkConsistency(consistency, { from: to, to: from }, verifierKeys)),
    whole: { verified: whole.verified, signed: whole.signed, fault: whole.fault?.kind },
    changed: { position: changed.fault?.position, kind: changed.fault?.kind },
  }
}

function partOf(check) {
  try {
    check()
    return 'holds'
  } catch (error) {
    return error.part
  }
}
