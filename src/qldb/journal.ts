/** The blocks of an export, each proven before it is given out. */
import { InvalidArgument, isStoreError } from '../core/errors.ts'
import { type Block, blockOf } from './block.ts'
import { type Chain, createChain } from './chain.ts'
import { type DataFile, readWhole } from './export.ts'
import { type ReadIon, readIon } from './ion.ts'
import { retyped } from './retype.ts'

export interface ProvenBlock {
  readonly block: Block
  /** Indexes of revisions that JSON cannot prove. */
  readonly unproven: ReadonlySet<number>
  /** For messages: its file and its sequence number. */
  readonly place: string
  /** Of all files so far, up to about the end of this block: bytes. */
  readonly end: number
  /** About. */
  readonly bytes: number
}

/**
 * In their order, a strand after the other. Throws `InvalidArgument` with the file, the block and its part where something is
 * no Ion, is no block, is missing, or breaks the chain; what was given out before is whole.
 */
export async function* readJournal(files: readonly DataFile[]): AsyncGenerator<ProvenBlock> {
  let chain = createChain()
  let before = 0
  for (const file of files) {
    if (chain.last() !== undefined && chain.last()?.strandId !== file.strandId) chain = createChain()
    const bytes = await readWhole(file.path, file.name)
    let sequenceNo = file.first
    let begin = 0
    for (const { value, end } of valuesOf(file, bytes)) {
      const place = placeOf(file, sequenceNo)
      const proven = at(place, () => provenBlock({ file, sequenceNo, value, chain }))
      yield { ...proven, place, end: before + end, bytes: end - begin }
      begin = end
      sequenceNo++
    }
    if (sequenceNo <= file.last)
      throw new InvalidArgument(placeOf(file, sequenceNo), 'is missing: the file ends before it')
    before += file.bytes
  }
}

interface Given {
  readonly file: DataFile
  readonly sequenceNo: number
  readonly value: ReadIon['value']
  readonly chain: Chain
}

function provenBlock({ file, sequenceNo, value, chain }: Given): Pick<ProvenBlock, 'block' | 'unproven'> {
  if (sequenceNo > file.last) throw new InvalidArgument('it', 'is more than the name of its file tells')
  const block = blockOf(file.format === 'json' ? retyped(value) : value)
  if (block.strandId !== file.strandId) {
    throw new InvalidArgument('blockAddress.strandId', `is ${block.strandId}, and the name of its file tells another`)
  }
  if (block.sequenceNo !== sequenceNo) {
    throw new InvalidArgument('blockAddress.sequenceNo', `is ${block.sequenceNo}, and ${sequenceNo} must stand here`)
  }
  return { block, unproven: chain.verify(block, file.format) }
}

function* valuesOf(file: DataFile, bytes: Uint8Array): Generator<ReadIon> {
  let sequenceNo = file.first
  const values = readIon(bytes)
  while (true) {
    const read = at(placeOf(file, sequenceNo), () => values.next())
    if (read.done) return
    yield read.value
    sequenceNo++
  }
}

function placeOf({ name }: DataFile, sequenceNo: number): string {
  return `${name}, block ${sequenceNo}`
}

/** What is wrong is said with its place; the reader of Ion throws errors of all kinds. */
export function at<Result>(place: string, make: () => Result): Result {
  try {
    return make()
  } catch (error) {
    if (error instanceof InvalidArgument) throw new InvalidArgument(`${place}: ${error.path}`, error.reason)
    throw new InvalidArgument(place, isStoreError(error) ? error.message : `is no Ion: ${(error as Error).message}`)
  }
}
