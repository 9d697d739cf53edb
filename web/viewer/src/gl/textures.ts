/**
 * GPU memory: pictures of tiles as layers of integer texture arrays.
 *
 * A page is one texture array; all its layers have one size and one format. A layer belongs to one tile at a time and
 * is filled in place when the tile improves. Invariant: at most `capacity` bytes of pages, as long as what must stay
 * (`isPinned`) fits.
 */
import type { Dtype, Samples } from "@firstlight/codecs";

export interface TextureFormat {
  dtype: Dtype;
  /** 1, or 4 (red, green, blue and one unused). */
  components: 1 | 4;
}

/** A tile's picture on the GPU. */
export interface Slot {
  readonly page: Page;
  readonly layer: number;
}

export interface Page {
  readonly texture: WebGLTexture;
  readonly signed: boolean;
  readonly components: 1 | 4;
  readonly free: number[];
}

/** Tiles of 256 samples and one more on each side for interpolation. */
export const TEXTURE_SIDE = 258;
const LAYERS_PER_PAGE = 16;

interface GlFormat {
  internal: number;
  format: number;
  type: number;
}

function glFormat(gl: WebGL2RenderingContext, { dtype, components }: TextureFormat): GlFormat {
  const format = components === 1 ? gl.RED_INTEGER : gl.RGBA_INTEGER;
  const [one, four, type] = {
    uint8: [gl.R8UI, gl.RGBA8UI, gl.UNSIGNED_BYTE],
    uint16: [gl.R16UI, gl.RGBA16UI, gl.UNSIGNED_SHORT],
    int8: [gl.R8I, gl.RGBA8I, gl.BYTE],
    int16: [gl.R16I, gl.RGBA16I, gl.SHORT],
  }[dtype] as [number, number, number];
  return { internal: components === 1 ? one : four, format, type };
}

export class TextureStore {
  private readonly pages: Page[] = [];
  private readonly gl: WebGL2RenderingContext;
  private readonly format: TextureFormat;
  private readonly glFormat: GlFormat;
  private readonly maxPages: number;

  constructor(gl: WebGL2RenderingContext, format: TextureFormat, capacity: number) {
    this.gl = gl;
    this.format = format;
    this.glFormat = glFormat(gl, format);
    const bytes = TEXTURE_SIDE ** 2 * format.components * (format.dtype.endsWith("16") ? 2 : 1) * LAYERS_PER_PAGE;
    this.maxPages = Math.max(2, Math.floor(capacity / bytes));
  }

  /** Room for one more tile, or null when the memory is full: release another first. */
  allocate(): Slot | null {
    for (const page of this.pages) {
      const layer = page.free.pop();
      if (layer !== undefined) return { page, layer };
    }
    if (this.pages.length >= this.maxPages) return null;
    const page = this.createPage();
    this.pages.push(page);
    return { page, layer: page.free.pop()! };
  }

  release(slot: Slot): void {
    slot.page.free.push(slot.layer);
  }

  /** Put a picture of height x width into the slot's top left corner. */
  upload(slot: Slot, samples: Samples, width: number, height: number): void {
    const { gl } = this;
    gl.bindTexture(gl.TEXTURE_2D_ARRAY, slot.page.texture);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    const { format, type } = this.glFormat;
    gl.texSubImage3D(gl.TEXTURE_2D_ARRAY, 0, 0, 0, slot.layer, width, height, 1, format, type, samples);
  }

  destroy(): void {
    for (const page of this.pages) this.gl.deleteTexture(page.texture);
    this.pages.length = 0;
  }

  private createPage(): Page {
    const { gl, format } = this;
    const texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D_ARRAY, texture);
    gl.texStorage3D(gl.TEXTURE_2D_ARRAY, 1, this.glFormat.internal, TEXTURE_SIDE, TEXTURE_SIDE, LAYERS_PER_PAGE);
    for (const filter of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER])
      gl.texParameteri(gl.TEXTURE_2D_ARRAY, filter, gl.NEAREST);
    return {
      texture,
      signed: format.dtype.startsWith("int"),
      components: format.components,
      free: Array.from({ length: LAYERS_PER_PAGE }, (_, i) => LAYERS_PER_PAGE - 1 - i),
    };
  }
}
