/** Shaders and their compilation. */
import { ViewerError } from "../data/errors.ts";

/** Draws tiles: one instance each. Positions are image pixels relative to the view's centre, so floats suffice. */
export const TILE_VERTEX = `#version 300 es
precision highp float;
uniform mat2 uRotation;      // image pixels -> clip space, around the view's centre
layout(location = 0) in vec4 aRect;    // x0, y0, x1, y1: image pixels from the view's centre
layout(location = 1) in vec4 aTexels;  // the same corners in texels
layout(location = 2) in vec4 aTile;    // layer, width, height (texels), depth
out vec2 vTexel;
flat out vec3 vTile;
void main() {
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1);
  vTexel = mix(aTexels.xy, aTexels.zw, corner);
  vTile = aTile.xyz;
  gl_Position = vec4(uRotation * mix(aRect.xy, aRect.zw, corner), aTile.w, 1.0);
}`;

/**
 * Integer textures have no filtering: four texels are mixed by hand. Samples become light through the contrast
 * limits, before they are mixed, so that one bright sample beyond them does not spread.
 */
export function tileFragment(signed: boolean, components: 1 | 4): string {
  const rgb = components === 4;
  return `#version 300 es
precision highp float;
precision highp int;
precision highp ${signed ? "i" : "u"}sampler2DArray;
uniform ${signed ? "i" : "u"}sampler2DArray uTexels;
uniform vec2 uLimits;   // lowest and highest sample shown
uniform vec3 uColour;
uniform bool uNearest;
in vec2 vTexel;
flat in vec3 vTile;
out vec4 light;
vec3 sampleAt(ivec2 at) {
  ivec2 inside = clamp(at, ivec2(0), ivec2(vTile.yz) - 1);
  ${rgb ? "vec3 v = vec3(texelFetch(uTexels, ivec3(inside, int(vTile.x)), 0).rgb);" : "vec3 v = vec3(float(texelFetch(uTexels, ivec3(inside, int(vTile.x)), 0).r));"}
  return clamp((v - uLimits.x) / max(uLimits.y - uLimits.x, 1e-6), 0.0, 1.0);
}
void main() {
  vec3 v;
  if (uNearest) v = sampleAt(ivec2(floor(vTexel)));
  else {
    vec2 p = vTexel - 0.5;
    ivec2 i = ivec2(floor(p));
    vec2 f = p - floor(p);
    v = mix(mix(sampleAt(i), sampleAt(i + ivec2(1, 0)), f.x),
            mix(sampleAt(i + ivec2(0, 1)), sampleAt(i + ivec2(1, 1)), f.x), f.y);
  }
  light = vec4(v * uColour, 1.0);
}`;
}

/** The image's own rectangle: black, or the thumbnail. */
export const BACKDROP_VERTEX = `#version 300 es
precision highp float;
uniform mat2 uRotation;
uniform vec4 uRect;
out vec2 vAt;
void main() {
  vAt = vec2(gl_VertexID & 1, gl_VertexID >> 1);
  gl_Position = vec4(uRotation * mix(uRect.xy, uRect.zw, vAt), 1.0, 1.0);
}`;

export const BACKDROP_FRAGMENT = `#version 300 es
precision highp float;
uniform sampler2D uThumbnail;
uniform bool uHasThumbnail;
in vec2 vAt;
out vec4 light;
void main() {
  light = vec4(uHasThumbnail ? texture(uThumbnail, vAt).rgb : vec3(0.0), 1.0);
}`;

export class Program {
  readonly handle: WebGLProgram;
  private readonly locations = new Map<string, WebGLUniformLocation | null>();
  private readonly gl: WebGL2RenderingContext;

  constructor(gl: WebGL2RenderingContext, vertex: string, fragment: string) {
    this.gl = gl;
    this.handle = gl.createProgram();
    for (const [type, source] of [
      [gl.VERTEX_SHADER, vertex],
      [gl.FRAGMENT_SHADER, fragment],
    ] as const) {
      const shader = gl.createShader(type)!;
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(this.handle, shader);
      gl.deleteShader(shader);
    }
    gl.linkProgram(this.handle);
    if (!gl.getProgramParameter(this.handle, gl.LINK_STATUS) && !gl.isContextLost())
      throw new ViewerError("webgl", `WebGL shaders do not link: ${gl.getProgramInfoLog(this.handle)}`);
  }

  uniform(name: string): WebGLUniformLocation | null {
    let location = this.locations.get(name);
    if (location === undefined) {
      location = this.gl.getUniformLocation(this.handle, name);
      this.locations.set(name, location);
    }
    return location;
  }
}
