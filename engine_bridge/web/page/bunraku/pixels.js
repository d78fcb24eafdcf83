// Pixels from planes: channel order, rows, colour space and alpha as a canvas wants them. Checks nothing, message.js
// did; knows no JPEG.

import { BYTES_PER_PIXEL } from "./protocol.js";

/**
 * The picture of a frame message without JPEG planes as RGBA8, row 0 on top, sRGB-encoded, straight alpha.
 *
 * Returns a Uint8Array of width x height x 4. What already is of that kind is handed back as it is.
 */
export function toRgba({ header, planes }) {
  const { w, h, f, cs, am, org } = header;
  const first = planes[0].bytes;
  const perPixel = planes.length > 1 ? 3 : BYTES_PER_PIXEL[f];
  const stride = header.st ?? w * perPixel;
  if (f === "rgba8" && planes.length === 1 && cs === "srgb" && am === "straight" && org === "top" && stride === w * 4) return first;
  const out = new Uint8Array(w * h * 4);
  const [red, green, blue] = f === "bgra8" ? [2, 1, 0] : [0, 1, 2];
  for (let y = 0; y < h; y++) {
    const row = org === "bottom" ? h - 1 - y : y;
    let from = row * stride;
    let alphaFrom = row * w;
    for (let to = y * w * 4; to < (y + 1) * w * 4; to += 4, from += perPixel, alphaFrom++) {
      if (f === "a8") out[to] = out[to + 1] = out[to + 2] = 255;
      else {
        out[to] = first[from + red];
        out[to + 1] = first[from + green];
        out[to + 2] = first[from + blue];
      }
      if (am === "opaque") out[to + 3] = 255;
      else if (planes.length > 1) out[to + 3] = planes[1].bytes[alphaFrom];
      else out[to + 3] = perPixel === 4 ? first[from + 3] : f === "a8" ? first[from] : 255;
    }
  }
  if (am === "premul") unpremultiply(out);
  if (cs === "linear") encodeSrgb(out);
  return out;
}

function unpremultiply(rgba) {
  for (let i = 0; i < rgba.length; i += 4) {
    const alpha = rgba[i + 3];
    const half = alpha >> 1;
    const divisor = Math.max(alpha, 1);
    for (let c = i; c < i + 3; c++) rgba[c] = Math.min(255, Math.floor((rgba[c] * 255 + half) / divisor));
  }
}

function encodeSrgb(rgba) {
  // The transfer function of IEC 61966-2-1, for the 256 values that a byte can hold.
  const table = Uint8Array.from({ length: 256 }, (_, value) => {
    const linear = value / 255;
    return Math.round(255 * (linear <= 0.0031308 ? 12.92 * linear : 1.055 * linear ** (1 / 2.4) - 0.055));
  });
  for (let i = 0; i < rgba.length; i += 4) {
    for (let c = i; c < i + 3; c++) rgba[c] = table[rgba[c]];
  }
}
