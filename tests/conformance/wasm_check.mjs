// Decodes shards with kernels.wasm alone (no wrapper) and compares the samples with those expected, byte for byte.
//
// node wasm_check.mjs kernels.wasm cases.json
// cases.json: [{"shard": path, "level": k, "region": [y, x, height, width] | null, "samples": path}, ...]: samples as
// (height, width, components), little-endian; paths relative to cases.json. A shard may be a prefix. Exits 1 on a difference.
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

const [wasmPath, casesPath] = process.argv.slice(2)
const { instance } = await WebAssembly.instantiate(readFileSync(wasmPath), {})
const kernels = instance.exports
const MAX_LEVELS = 14
const MAX_LAYERS = 24
const MAX_GROUPS = 5

// ---- memory: handed out upwards from the heap's base, all given back after each case --------------------------------

kernels.memory.grow(16)
let top = kernels.__heap_base.value

function alloc(bytes) {
  const at = (top + 15) & ~15
  top = at + bytes
  const missing = Math.ceil((top - kernels.memory.buffer.byteLength) / 65536)
  if (missing > 0) kernels.memory.grow(missing)
  return at
}

const words = (at, count) => new Uint32Array(kernels.memory.buffer, at, count)
const bytes = (at, count) => new Uint8Array(kernels.memory.buffer, at, count)

function check(status, what) {
  if (status !== 0) throw new Error(`${what}: status ${status}`)
}

// ---- one picture -----------------------------------------------------------------------------------------------------

function parse(at, size) {
  const info = alloc(kernels.fl_info_size())
  check(kernels.fl_head_parse(at, size, MAX_GROUPS, info), 'head')
  const names = ['version', 'codec', 'headSize', 'width', 'height', 'components', 'bits', 'signed', 'colour', 'levels',
    'margin', 'tiles', 'segments', 'indexOffset', 'transform', 'values', 'valuesOffset', 'groups']
  const head = { info }
  names.forEach((name, i) => (head[name] = words(info, names.length)[i]))
  const levelNames = ['width', 'height', 'tileLog2', 'tilesX', 'tilesY', 'layers', 'firstTile']
  const stride = levelNames.length + MAX_GROUPS + 3 * (MAX_LAYERS + 1)
  // Behind the names: starts of groups, the number of the head's parts, their ends; then the levels.
  const levels = names.length + MAX_GROUPS + 1 + MAX_GROUPS
  head.level = Array.from({ length: Math.min(head.levels, MAX_LEVELS) + 1 }, (_, k) => {
    const from = words(info + 4 * (levels + k * stride), stride)
    const firstSegments = from.slice(levelNames.length, levelNames.length + head.groups)
    return { ...Object.fromEntries(levelNames.map((name, i) => [name, from[i]])), firstSegments }
  })
  head.starts = words(info + 4 * names.length, head.groups).slice()
  head.table = alloc(2 * head.values)
  check(kernels.fl_head_values(at, size, info, head.table), 'values')
  const offsets = alloc(4 * (head.segments + 1))
  check(kernels.fl_head_index(at, size, info, offsets), 'index')
  head.offsets = words(offsets, head.segments + 1).slice()
  return head
}

/** Groups, levels, tiles, layers of the group (SPEC 2.6). */
function segmentNumber({ starts }, at, layer, tile) {
  const group = starts.findLastIndex((start) => start <= layer)
  const [first, end] = [starts[group], Math.min(starts[group + 1] ?? at.layers, at.layers)]
  return at.firstSegments[group] + tile * (end - first) + layer - first
}

function decode(shard, k, region) {
  const data = alloc(shard.length)
  bytes(data, shard.length).set(shard)
  const head = parse(data, shard.length)
  const { info, components, offsets } = head
  const scratch = alloc(kernels.fl_wavelet_decode_scratch(info))
  const tiles = alloc(4 * head.tiles)
  bytes(tiles, 4 * head.tiles).fill(0)
  const wide = alloc(head.tiles)
  const isWide = alloc(4)
  const layerData = alloc(4 * MAX_LAYERS)
  const layerSize = alloc(4 * MAX_LAYERS)
  const here = (s) => offsets[s] === offsets[s + 1] || offsets[s + 1] <= shard.length
  for (let j = k; j <= head.levels; j++) {
    const at = head.level[j]
    for (let tile = 0; tile < at.tilesX * at.tilesY; tile++) {
      const segment = (layer) => segmentNumber(head, at, layer, tile)
      let layers = 0
      while (layers < at.layers && here(segment(layers))) layers++
      if (layers === 0) continue
      const [x, y] = [tile % at.tilesX, Math.floor(tile / at.tilesX)]
      const coefs = alloc(4 * components * kernels.fl_wavelet_tile_size(info, j, x, y))
      for (let n = 0; n < layers; n++) {
        const s = segment(n)
        words(layerData, MAX_LAYERS)[n] = data + offsets[s]
        words(layerSize, MAX_LAYERS)[n] = offsets[s + 1] - offsets[s]
      }
      check(kernels.fl_wavelet_tile_decode(info, j, x, y, layerData, layerSize, layers, 0, coefs, isWide, scratch), 'tile')
      words(tiles, head.tiles)[at.firstTile + tile] = coefs
      bytes(wide, head.tiles)[at.firstTile + tile] = words(isWide, 1)[0]
    }
  }
  const [y, x, height, width] = region ?? [0, 0, head.level[k].height, head.level[k].width]
  const size = height * width * components * (head.bits <= 8 ? 1 : 2)
  const samples = alloc(size)
  const workspace = alloc(kernels.fl_wavelet_region_workspace(info, k, width, height))
  check(kernels.fl_wavelet_region(info, k, x, y, width, height, tiles, wide, 0, head.table, samples, 1, width * components, components, workspace), 'region')
  return bytes(samples, size)
}

let failures = 0
const base = top
for (const { shard, level, region, samples } of JSON.parse(readFileSync(casesPath, 'utf8'))) {
  top = base
  const folder = dirname(casesPath)
  const name = `${shard}, level ${level}, region ${JSON.stringify(region)}`
  try {
    const expected = readFileSync(join(folder, samples))
    const found = Buffer.from(decode(readFileSync(join(folder, shard)), level, region))
    if (Buffer.compare(found, expected) !== 0) throw new Error('samples differ')
  } catch (error) {
    failures++
    console.error(`${name}: ${error.message}`)
  }
}
process.exit(failures ? 1 : 0)
