// Decodes a shard again and again, the whole path from bytes to samples, and prints the processor seconds of each time.
//
// node wasm_decode.mjs codecs.mjs kernels.wasm shard.fls rounds
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'

const [bundle, wasm, path, rounds] = process.argv.slice(2)
const { loadKernels, ShardDecoder, TileCache } = await import(pathToFileURL(bundle))
const kernels = await loadKernels(readFileSync(wasm))
const data = new Uint8Array(readFileSync(path))

function decode() {
  const index = kernels.parseHead(data)
  // A cache of its own, so that no tile is left from the round before.
  const decoder = new ShardDecoder(kernels, index, new TileCache(kernels))
  for (let s = 0; s < index.segments; s++)
    if (index.length(s)) decoder.add(s, data.subarray(index.offsets[s], index.offsets[s + 1]))
  const samples = decoder.decode()
  decoder.close()
  return samples
}

const seconds = []
let samples
for (let n = 0; n < Number(rounds); n++) {
  const start = process.cpuUsage()
  samples = decode()
  const { user, system } = process.cpuUsage(start)
  seconds.push((user + system) / 1e6)
}
const bytes = Buffer.from(samples.buffer, samples.byteOffset, samples.byteLength)
console.log(JSON.stringify({ seconds, sha256: createHash('sha256').update(bytes).digest('hex') }))
