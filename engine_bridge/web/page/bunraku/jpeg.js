// The headers of a JPEG, read before any decoder sees it. Decodes nothing.

import { MessageRejected } from "./rejected.js";

/** Look into a JPEG's headers: before anything decodes it, it must be YCbCr of the size announced. */
export function checkJpeg(bytes, width, height) {
  let at = 2;
  if (bytes[0] === 0xff && bytes[1] === 0xd8) {
    while (at + 9 < bytes.length && bytes[at] === 0xff) {
      const marker = bytes[at + 1];
      const adobe = marker === 0xee && String.fromCharCode(...bytes.subarray(at + 4, at + 9)) === "Adobe";
      if (adobe && bytes[at + 15] !== 1) throw new MessageRejected("decode", "a JPEG that is not YCbCr");
      const isFrame = marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc;
      if (isFrame) {
        const high = (bytes[at + 5] << 8) | bytes[at + 6];
        const wide = (bytes[at + 7] << 8) | bytes[at + 8];
        if (wide === width && high === height && bytes[at + 9] === 3) return;
        throw new MessageRejected("decode", `a JPEG of ${wide}x${high} with ${bytes[at + 9]} components for ${width}x${height}`);
      }
      at += 2 + ((bytes[at + 2] << 8) | bytes[at + 3]);
    }
  }
  throw new MessageRejected("decode", "a broken JPEG");
}
