/**
 * Blocks in the kernels' linear memory, above __heap_base.
 *
 * Sizes are rounded up to a class (powers of two and 1.5 times those), and a freed block is used again for its class.
 * Coefficients of tiles have few distinct sizes, so little is lost, and nothing is ever moved.
 */
export class Arena {
  private top: number;
  private readonly free = new Map<number, number[]>();
  /** Bytes in blocks that are in use. */
  used = 0;

  constructor(
    private readonly memory: WebAssembly.Memory,
    heapBase: number,
  ) {
    this.top = (heapBase + 15) & ~15;
  }

  /** Bytes that a block of `size` takes. */
  static rounded(size: number): number {
    let power = 64;
    while (power < size) power *= 2;
    const between = power * 0.75;
    return size <= between ? between : power;
  }

  /**
   * A block of at least `size` bytes, aligned to 16; its contents are undefined. Growing detaches older views.
   *
   * @throws RangeError when the engine has no more memory to give.
   */
  allocate(size: number): number {
    const rounded = Arena.rounded(size);
    let block = this.free.get(rounded)?.pop();
    if (block === undefined) {
      block = this.top;
      const missing = block + rounded - this.memory.buffer.byteLength;
      // In steps of at least 1 MiB: growing costs a call into the engine and detaches every view.
      if (missing > 0) this.memory.grow(Math.ceil(Math.max(missing, 1 << 20) / 65536));
      this.top += rounded;
    }
    this.used += rounded;
    return block;
  }

  /** Give back a block that `allocate(size)` returned. */
  release(block: number, size: number): void {
    const rounded = Arena.rounded(size);
    this.used -= rounded;
    const list = this.free.get(rounded);
    if (list) list.push(block);
    else this.free.set(rounded, [block]);
  }
}

/** The blocks of one call, given back together. */
export class Loan {
  private readonly blocks: [block: number, size: number][] = [];

  constructor(private readonly arena: Arena) {}

  allocate(size: number): number {
    const block = this.arena.allocate(size);
    this.blocks.push([block, size]);
    return block;
  }

  end(): void {
    for (const [block, size] of this.blocks) this.arena.release(block, size);
  }
}
