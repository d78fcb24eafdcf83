// Draws frames on a canvas with WebGL 2, so that the page shows through exactly as the alpha says.
//
// A frame is straight alpha; a canvas is composed premultiplied. The shader multiplies and rounds to nearest, so a
// pixel differs from the exact blend by one step of 255 at most. sRGB bytes go through unchanged.

const VERTICES = `#version 300 es
void main() {
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1) * 2.0;
  gl_Position = vec4(corner * 2.0 - 1.0, 0.0, 1.0);
}`;

// One texel where picture and canvas agree pixel by pixel. Otherwise linear between texels, and over more of them when
// the picture shrinks; premultiplied first, or the colour under alpha 0 would bleed into the edge.
const FRAGMENTS = `#version 300 es
precision highp float;
precision highp int;
uniform sampler2D colour;
uniform sampler2D alpha;
uniform bool split;
uniform vec2 origin;
uniform vec2 scale;
uniform vec2 canvas;
out vec4 drawn;

vec4 texel(ivec2 at, ivec2 size) {
  at = clamp(at, ivec2(0), size - 1);
  vec4 straight = texelFetch(colour, at, 0);
  if (split) straight.a = texelFetch(alpha, at, 0).r;
  return vec4(straight.rgb * straight.a, straight.a);
}

void main() {
  ivec2 size = textureSize(colour, 0);
  vec2 place = vec2(gl_FragCoord.x, canvas.y - gl_FragCoord.y) - origin;
  vec2 at = place / scale;
  if (any(lessThan(at, vec2(0.0))) || any(greaterThanEqual(at, vec2(size)))) {
    drawn = vec4(0.0);
    return;
  }
  if (scale == vec2(1.0)) {
    drawn = texel(ivec2(floor(at)), size);
  } else {
    vec2 wide = clamp(1.0 / scale, vec2(1.0), vec2(8.0));
    ivec2 first = ivec2(ceil(at - 0.5 - wide));
    ivec2 last = ivec2(floor(at - 0.5 + wide));
    vec4 sum = vec4(0.0);
    float total = 0.0;
    for (int y = first.y; y <= last.y; y++) {
      for (int x = first.x; x <= last.x; x++) {
        vec2 near = 1.0 - abs(at - 0.5 - vec2(x, y)) / wide;
        float weight = near.x * near.y;
        sum += weight * texel(ivec2(x, y), size);
        total += weight;
      }
    }
    drawn = sum / total;
  }
  drawn = floor(drawn * 255.0 + 0.5) / 255.0;
}`;

/** Shows the newest frame in a canvas, as large as it fits and on its lower edge, at any size and pixel density. */
export class View {
  /** Throws Error if the browser offers no WebGL 2. */
  constructor(canvas) {
    this.canvas = canvas;
    this.frame = null;
    this.lost = false;
    const wishes = { alpha: true, premultipliedAlpha: true, antialias: false, depth: false, powerPreference: "low-power" };
    this.gl = canvas.getContext("webgl2", wishes);
    if (!this.gl) throw new Error("This browser offers no WebGL 2. Switch hardware acceleration on, or use a newer one.");
    this.prepare();
    canvas.addEventListener("webglcontextlost", (event) => {
      event.preventDefault(); // without this it never comes back
      this.lost = true;
    });
    canvas.addEventListener("webglcontextrestored", () => {
      this.lost = false;
      this.prepare();
      if (this.frame) this.draw(this.frame);
    });
    this.followSize();
  }

  /** Draw a frame of BunrakuClient; without an argument, what was drawn last, in the canvas's present size. */
  draw(frame = this.frame) {
    if (!frame) return;
    const isNew = frame !== this.frame || this.uploaded !== frame;
    this.frame = frame;
    if (this.lost) return;
    if (isNew) this.upload(frame);
    const { gl, canvas } = this;
    const scale = Math.min(canvas.width / frame.width, canvas.height / frame.height);
    const left = Math.floor((canvas.width - frame.width * scale) / 2);
    const top = Math.floor(canvas.height - frame.height * scale); // people are cut off below, and must not float
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.uniform2f(this.places.scale, scale, scale);
    gl.uniform2f(this.places.origin, left, top);
    gl.uniform2f(this.places.canvas, canvas.width, canvas.height);
    gl.uniform1i(this.places.split, frame.alpha ? 1 : 0);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }

  /** Show nothing. */
  clear() {
    this.frame = null;
    if (!this.lost) this.gl.clear(this.gl.COLOR_BUFFER_BIT);
  }

  prepare() {
    const { gl } = this;
    const program = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, VERTICES], [gl.FRAGMENT_SHADER, FRAGMENTS]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) {
      throw new Error(`The browser's WebGL refuses the shader: ${gl.getProgramInfoLog(program)}`);
    }
    gl.useProgram(program);
    this.places = {};
    for (const name of ["split", "origin", "scale", "canvas"]) this.places[name] = gl.getUniformLocation(program, name);
    gl.uniform1i(gl.getUniformLocation(program, "colour"), 0);
    gl.uniform1i(gl.getUniformLocation(program, "alpha"), 1);
    // The bytes of a frame reach the texture as they are.
    gl.pixelStorei(gl.UNPACK_PREMULTIPLY_ALPHA_WEBGL, false);
    gl.pixelStorei(gl.UNPACK_COLORSPACE_CONVERSION_WEBGL, gl.NONE);
    gl.pixelStorei(gl.UNPACK_FLIP_Y_WEBGL, false);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    gl.disable(gl.BLEND);
    gl.disable(gl.DITHER);
    this.textures = [0, 1].map((unit) => {
      const texture = gl.createTexture();
      gl.activeTexture(gl.TEXTURE0 + unit);
      gl.bindTexture(gl.TEXTURE_2D, texture);
      gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
      gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
      return { texture, shape: "" };
    });
    this.uploaded = null;
  }

  upload(frame) {
    const { gl } = this;
    const { width, height } = frame;
    if (frame.rgba) this.fill(0, gl.RGBA8, gl.RGBA, width, height, frame.rgba);
    else this.fill(0, gl.RGBA8, gl.RGBA, width, height, frame.bitmap);
    if (frame.alpha) this.fill(1, gl.R8, gl.RED, width, height, frame.alpha);
    this.uploaded = frame;
  }

  /** Put pixels into a texture, which is recreated only when its shape changes. */
  fill(unit, inside, format, width, height, pixels) {
    const { gl } = this;
    const slot = this.textures[unit];
    const shape = `${width}x${height}`;
    gl.activeTexture(gl.TEXTURE0 + unit);
    if (slot.shape === shape) gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, width, height, format, gl.UNSIGNED_BYTE, pixels);
    else gl.texImage2D(gl.TEXTURE_2D, 0, inside, width, height, 0, format, gl.UNSIGNED_BYTE, pixels);
    slot.shape = shape;
  }

  /** Keep one canvas pixel per pixel of the screen. */
  followSize() {
    const fit = (width, height) => {
      this.canvas.width = Math.max(1, width);
      this.canvas.height = Math.max(1, height);
      this.draw();
    };
    const observer = new ResizeObserver(([entry]) => {
      const [exact] = entry.devicePixelContentBoxSize ?? [];
      const width = Math.round(entry.contentRect.width * devicePixelRatio);
      const height = Math.round(entry.contentRect.height * devicePixelRatio);
      // The exact size differs by a rounded pixel; by more only where a developer's tools pretend another screen.
      if (exact && Math.abs(exact.inlineSize - width) <= 1) fit(exact.inlineSize, exact.blockSize);
      else fit(width, height);
    });
    try {
      observer.observe(this.canvas, { box: "device-pixel-content-box" });
    } catch {
      observer.observe(this.canvas); // Safari
    }
  }
}
