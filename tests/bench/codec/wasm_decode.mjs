// Decodes a shard again and again, the whole path from bytes to samples, and prints the processor seconds of each time.
//
// node wasm_decode.mjs codecs.mjs kernels.wasm shard.fls rounds
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'

const [bundle, wasm, path, rounds] = process.argv.slice(2)
const { loadCodec } = await import(pathToFileURL(bundle))
const codec = await loadCodec(readFileSync(wasm))
const data = new Uint8Array(readFileSync(path))

const seconds = []
let samples
for (let n = 0; n < Number(rounds); n++) {
  const start = process.cpuUsage()
  samples = codec.decode(data).data
  const { user, system } = process.cpuUsage(start)
  seconds.push((user + system) / 1e6)
}
const bytes = Buffer.from(samples.buffer, samples.byteOffset, samples.byteLength)
console.log(JSON.stringify({ seconds, sha256: createHash('sha256').update(bytes).digest('hex') }))
