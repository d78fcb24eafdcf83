// LZ4 blocks (not LZ4 frames), whatever the bytes. Knows nothing of pictures.

import { MessageRejected } from "./rejected.js";

/** Decode an LZ4 block that must fill `out` exactly; throws MessageRejected `decode`. */
export function decodeLz4(block, out) {
  const broken = () => new MessageRejected("decode", "a broken LZ4 block, or one of another size than announced");
  let from = 0;
  let to = 0;
  const length = (start) => {
    let sum = start;
    if (start === 15) {
      let more;
      do {
        if (from >= block.length) throw broken();
        more = block[from++];
        sum += more;
      } while (more === 255);
    }
    return sum;
  };
  while (from < block.length) {
    const token = block[from++];
    const literals = length(token >> 4);
    if (literals > block.length - from || literals > out.length - to) throw broken();
    out.set(block.subarray(from, from + literals), to);
    from += literals;
    to += literals;
    if (from === block.length) {
      if (to !== out.length) throw broken();
      return;
    }
    if (block.length - from < 2) throw broken();
    const offset = block[from] | (block[from + 1] << 8);
    from += 2;
    const match = length(token & 15) + 4;
    if (offset === 0 || offset > to || match > out.length - to) throw broken();
    if (offset >= match) out.copyWithin(to, to - offset, to - offset + match);
    else for (let i = 0; i < match; i++) out[to + i] = out[to - offset + i];
    to += match;
  }
  throw broken();
}
