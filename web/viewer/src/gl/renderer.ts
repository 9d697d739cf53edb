/**
 * Draws pictures of tiles, channel by channel, into a WebGL2 canvas.
 *
 * Within a channel the nearest (best) tile of a pixel wins: tiles are drawn front to back, and the depth test lets
 * every pixel be shaded once. Channels add up as light.
 */
import type { Dtype } from "@firstlight/codecs";
import { ViewerError } from "../data/errors.ts";
import { BACKDROP_FRAGMENT, BACKDROP_VERTEX, Program, TILE_VERTEX, tileFragment } from "./programs.ts";
import { type Slot, TextureStore } from "./textures.ts";

/** What is looked at: a point of the image at the canvas's centre. */
export interface Camera {
  /** Image pixels (level 0) at the centre of the canvas. */
  x: number;
  y: number;
  /** Canvas pixels (device pixels) per image pixel. */
  scale: number;
  /** Degrees, clockwise. */
  rotation: number;
  flipped: boolean;
}

/** A tile's picture and where it lies. */
export interface DrawnTile {
  slot: Slot;
  /** Image pixels that it covers. */
  x0: number;
  y0: number;
  x1: number;
  y1: number;
  /** Image pixels per texel, and the image coordinate of the texture's corner. */
  step: number;
  originX: number;
  originY: number;
  /** Texels in use. */
  width: number;
  height: number;
}

export interface DrawnChannel {
  /** Front (best) to back. */
  tiles: readonly DrawnTile[];
  /** Light of the highest sample: red, green, blue in 0..1. */
  colour: readonly [number, number, number];
  limits: readonly [low: number, high: number];
}

const FLOATS_PER_TILE = 12;
/** Magnification from which samples are shown as squares. */
const NEAREST_FROM = 2;
/** So close to 1 the picture is not resampled: every pixel of the screen shows one stored sample. */
const UNSCALED = 1e-3;
const READBACK_POLL_MS = 20;

export class Renderer {
  readonly gl: WebGL2RenderingContext;
  readonly textures: TextureStore;
  readonly background: readonly [number, number, number] = [0.043, 0.051, 0.063];

  private readonly tileProgram: Program;
  private readonly backdropProgram: Program;
  private readonly array: WebGLVertexArrayObject;
  private readonly instances: WebGLBuffer;
  private instanceData = new Float32Array(64 * FLOATS_PER_TILE);
  private thumbnail: WebGLTexture | null = null;
  private hasThumbnail = false;
  private overviewTarget: { framebuffer: WebGLFramebuffer; width: number; height: number } | null = null;

  /**
   * @param rgb the image's samples are red, green and blue.
   * @throws ViewerError "webgl" when the browser has no WebGL2.
   */
  constructor(
    readonly canvas: HTMLCanvasElement,
    dtype: Dtype,
    rgb: boolean,
    textureBytes: number,
  ) {
    const gl = canvas.getContext("webgl2", {
      alpha: false,
      antialias: false,
      depth: true,
      stencil: false,
      // Screenshots and other pages' scripts read the canvas between frames.
      preserveDrawingBuffer: true,
    });
    if (!gl) throw new ViewerError("webgl", "This browser offers no WebGL2, which the viewer draws with.");
    this.gl = gl;
    const components = rgb ? 4 : 1;
    this.textures = new TextureStore(gl, { dtype, components }, textureBytes);
    this.tileProgram = new Program(gl, TILE_VERTEX, tileFragment(dtype.startsWith("int"), components));
    this.backdropProgram = new Program(gl, BACKDROP_VERTEX, BACKDROP_FRAGMENT);
    // Something to sample until there is a thumbnail.
    this.setThumbnail(new ImageData(1, 1));
    this.hasThumbnail = false;
    this.instances = gl.createBuffer();
    this.array = gl.createVertexArray();
    gl.bindVertexArray(this.array);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.instances);
    for (let location = 0; location < 3; location++) {
      gl.enableVertexAttribArray(location);
      gl.vertexAttribDivisor(location, 1);
    }
  }

  /** The tiny picture to show until there is anything better. */
  setThumbnail(image: TexImageSource): void {
    const { gl } = this;
    gl.deleteTexture(this.thumbnail);
    this.thumbnail = gl.createTexture();
    this.hasThumbnail = true;
    gl.bindTexture(gl.TEXTURE_2D, this.thumbnail);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 4);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGB8, gl.RGB, gl.UNSIGNED_BYTE, image);
    for (const filter of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER])
      gl.texParameteri(gl.TEXTURE_2D, filter, gl.LINEAR);
    for (const wrap of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, wrap, gl.CLAMP_TO_EDGE);
  }

  /**
   * Draw a frame.
   *
   * @param image width and height in image pixels.
   * @param channels what to add up; empty shows the backdrop.
   * @param thumbnail whether to show the thumbnail under them.
   */
  draw(camera: Camera, image: { width: number; height: number }, channels: DrawnChannel[], thumbnail: boolean): void {
    const { gl, canvas } = this;
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    this.drawInto(camera, image, channels, thumbnail, canvas.width, canvas.height, 1);
  }

  /**
   * The whole image as width x height RGBA bytes, top row first.
   *
   * The page does not wait for the GPU: reading at once would stop it until all frames before are drawn.
   */
  async overview(
    image: { width: number; height: number },
    channels: DrawnChannel[],
    width: number,
    height: number,
  ): Promise<Uint8ClampedArray<ArrayBuffer>> {
    const { gl } = this;
    if (this.overviewTarget?.width !== width || this.overviewTarget.height !== height) {
      if (this.overviewTarget) gl.deleteFramebuffer(this.overviewTarget.framebuffer);
      const framebuffer = gl.createFramebuffer();
      gl.bindFramebuffer(gl.FRAMEBUFFER, framebuffer);
      for (const [attachment, format] of [
        [gl.COLOR_ATTACHMENT0, gl.RGBA8],
        [gl.DEPTH_ATTACHMENT, gl.DEPTH_COMPONENT16],
      ] as const) {
        const buffer = gl.createRenderbuffer();
        gl.bindRenderbuffer(gl.RENDERBUFFER, buffer);
        gl.renderbufferStorage(gl.RENDERBUFFER, format, width, height);
        gl.framebufferRenderbuffer(gl.FRAMEBUFFER, attachment, gl.RENDERBUFFER, buffer);
      }
      this.overviewTarget = { framebuffer, width, height };
    }
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.overviewTarget.framebuffer);
    const camera = { x: image.width / 2, y: image.height / 2, scale: width / image.width, rotation: 0, flipped: false };
    // Upside down, since rows are read bottom first.
    this.drawInto(camera, image, channels, true, width, height, -1);
    const pixels = new Uint8Array(width * height * 4);
    const buffer = gl.createBuffer();
    gl.bindBuffer(gl.PIXEL_PACK_BUFFER, buffer);
    gl.bufferData(gl.PIXEL_PACK_BUFFER, pixels.length, gl.STREAM_READ);
    gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, 0);
    gl.bindBuffer(gl.PIXEL_PACK_BUFFER, null);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    const done = gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0);
    gl.flush();
    while (done && !gl.isContextLost() && gl.clientWaitSync(done, 0, 0) === gl.TIMEOUT_EXPIRED)
      await new Promise((resolve) => setTimeout(resolve, READBACK_POLL_MS));
    gl.deleteSync(done);
    gl.bindBuffer(gl.PIXEL_PACK_BUFFER, buffer);
    gl.getBufferSubData(gl.PIXEL_PACK_BUFFER, 0, pixels);
    gl.bindBuffer(gl.PIXEL_PACK_BUFFER, null);
    gl.deleteBuffer(buffer);
    return new Uint8ClampedArray(pixels.buffer);
  }

  destroy(): void {
    this.textures.destroy();
    this.gl.getExtension("WEBGL_lose_context")?.loseContext();
  }

  private drawInto(
    camera: Camera,
    image: { width: number; height: number },
    channels: DrawnChannel[],
    thumbnail: boolean,
    width: number,
    height: number,
    up: 1 | -1,
  ): void {
    const { gl } = this;
    gl.viewport(0, 0, width, height);
    gl.clearColor(...this.background, 1);
    gl.clearDepth(1);
    gl.depthMask(true);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    const angle = (camera.rotation * Math.PI) / 180;
    const sx = ((2 * camera.scale) / width) * (camera.flipped ? -1 : 1);
    const sy = ((-2 * camera.scale) / height) * up;
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
    const rotation = new Float32Array([sx * cos, sy * sin, -sx * sin, sy * cos]);

    gl.bindVertexArray(this.array);
    gl.disable(gl.BLEND);
    gl.disable(gl.DEPTH_TEST);
    const backdrop = this.backdropProgram;
    gl.useProgram(backdrop.handle);
    gl.uniformMatrix2fv(backdrop.uniform("uRotation"), false, rotation);
    gl.uniform4f(backdrop.uniform("uRect"), -camera.x, -camera.y, image.width - camera.x, image.height - camera.y);
    gl.uniform1i(backdrop.uniform("uHasThumbnail"), thumbnail && this.hasThumbnail ? 1 : 0);
    gl.bindTexture(gl.TEXTURE_2D, this.thumbnail);
    // Attributes without a divisor would be read per vertex: none are used, but they must have data.
    this.upload([], camera);
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);

    const program = this.tileProgram;
    gl.useProgram(program.handle);
    gl.uniformMatrix2fv(program.uniform("uRotation"), false, rotation);
    gl.enable(gl.DEPTH_TEST);
    gl.depthFunc(gl.LESS);
    gl.blendFunc(gl.ONE, gl.ONE);
    for (const [i, channel] of channels.entries()) {
      if (i > 0) {
        gl.enable(gl.BLEND);
        gl.clear(gl.DEPTH_BUFFER_BIT);
      }
      gl.uniform2f(program.uniform("uLimits"), ...channel.limits);
      gl.uniform3f(program.uniform("uColour"), ...channel.colour);
      this.upload(channel.tiles, camera);
      this.drawRuns(channel.tiles, camera.scale);
    }
    gl.disable(gl.BLEND);
    gl.disable(gl.DEPTH_TEST);
    gl.bindVertexArray(null);
  }

  /** Draw tiles that share a page and a filter together. */
  private drawRuns(tiles: readonly DrawnTile[], scale: number): void {
    const { gl } = this;
    const whole = scale >= NEAREST_FROM || Math.abs(scale - 1) < UNSCALED;
    const nearest = (tile: DrawnTile) => tile.step === 1 && whole;
    for (let from = 0; from < tiles.length; ) {
      const first = tiles[from]!;
      let to = from + 1;
      while (to < tiles.length && tiles[to]!.slot.page === first.slot.page && nearest(tiles[to]!) === nearest(first))
        to++;
      gl.bindTexture(gl.TEXTURE_2D_ARRAY, first.slot.page.texture);
      gl.uniform1i(this.tileProgram.uniform("uNearest"), nearest(first) ? 1 : 0);
      const stride = FLOATS_PER_TILE * 4;
      for (let location = 0; location < 3; location++)
        gl.vertexAttribPointer(location, 4, gl.FLOAT, false, stride, from * stride + location * 16);
      gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, to - from);
      from = to;
    }
  }

  private upload(tiles: readonly DrawnTile[], camera: Camera): void {
    const { gl } = this;
    const needed = Math.max(1, tiles.length) * FLOATS_PER_TILE;
    if (this.instanceData.length < needed) this.instanceData = new Float32Array(needed * 2);
    const data = this.instanceData;
    for (const [i, tile] of tiles.entries()) {
      const texel = (at: number, origin: number) => (at - origin) / tile.step;
      data.set(
        [
          tile.x0 - camera.x,
          tile.y0 - camera.y,
          tile.x1 - camera.x,
          tile.y1 - camera.y,
          texel(tile.x0, tile.originX),
          texel(tile.y0, tile.originY),
          texel(tile.x1, tile.originX),
          texel(tile.y1, tile.originY),
          tile.slot.layer,
          tile.width,
          tile.height,
          // In front of all tiles that come later.
          -0.9 + (1.8 * i) / tiles.length,
        ],
        i * FLOATS_PER_TILE,
      );
    }
    gl.bindBuffer(gl.ARRAY_BUFFER, this.instances);
    gl.bufferData(gl.ARRAY_BUFFER, data.subarray(0, needed), gl.DYNAMIC_DRAW);
    for (let location = 0; location < 3; location++)
      gl.vertexAttribPointer(location, 4, gl.FLOAT, false, FLOATS_PER_TILE * 4, location * 16);
  }
}
