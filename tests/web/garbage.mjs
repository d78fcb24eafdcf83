// Feeds the browser's reader with damaged messages: node --expose-gc tests/web/garbage.mjs [HOW MANY]
//
// Nothing may be thrown, the good frame after them must be taken, and memory must not grow. Prints what came out as
// one line of JSON; exit code 1 if it is not as it should be.

import { MessageRejected, StreamReader, pack, readControl, toRgba } from "../../engine_bridge/web/page/bunraku.js";

const count = Number(process.argv[2] ?? 100000);
const ascii = new TextEncoder();
let state = 20250101;

/** Mulberry32: the same damage every time. */
function random(below) {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) % below;
}

function frame(id, encoding) {
  const pixels = Uint8Array.from({ length: 8 * 6 * 4 }, (_, index) => index & 255);
  // A block of literals alone: token 15, then the rest of the length, then the bytes.
  const block = encoding === "lz4" ? Uint8Array.from([0xf0, pixels.length - 15, ...pixels]) : pixels;
  const header = {
    k: "f", v: 0, ses: 2n ** 60n, id, w: 8, h: 6, f: "rgba8", pl: [{ e: encoding, r: "rgba", n: pixels.length, z: block.length }],
    tc: 1, tr: 2, tp: 3, ca: 4, ct: 5, eng: "test", prov: { ai: true, model: "m", generator: "g", source: "s" },
  };
  return [ascii.encode("avf1/aki"), pack(header), block];
}

const heartbeat = [
  ascii.encode("avf1/aki"),
  pack({ k: "h", v: 0, ses: 2n ** 60n, id: 0, n: 1, off: 17n * 10n ** 17n, ctl: "tcp://127.0.0.1:1", enc: ["raw"], stats: { provider: "p", fps: 59.5, dropped: 0 } }),
];
const info = { session: 1, stream: "aki", character: "Aki", width: 8, height: 6, fps: 60, controls: [{ name: "jawOpen", minimum: 0, maximum: 1, rest: 0, group: "mouth" }] };
const welcome = pack({ k: "welcome", proto: 1, ses: 1, info });
const bye = [ascii.encode("avf1/aki"), pack({ k: "b", v: 0, ses: 5, id: 1 })];
const BOMBS = [[0xdf, 0xff, 0xff, 0xff, 0xff], [0xdd, 0x0f, 0xff, 0xff, 0xff], [0xdb, 0xff, 0xff, 0xff, 0xff], new Array(5000).fill(0x91)];

function damage(parts) {
  const out = parts.map((part) => part.slice());
  for (let blows = 1 + random(4); blows > 0; blows--) {
    const index = random(8) ? Math.max(1, random(out.length)) % out.length : 0; // the topic seldom, or nothing gets further
    const part = out[index];
    switch (random(7)) {
      case 0: case 1: if (part.length) part[random(part.length)] = random(256); break;
      case 2: if (part.length) part[random(part.length)] ^= 1 << random(8); break;
      case 3: out[index] = part.subarray(0, random(part.length + 1)); break;
      case 4: out[index] = Uint8Array.from([...part, ...new Uint8Array(random(8)).map(() => random(256))]); break;
      case 5: out[index] = Uint8Array.from([...part.subarray(0, random(part.length + 1)), ...BOMBS[random(BOMBS.length)]]); break;
      default: if (random(2)) out.splice(index, 1); else out.splice(index, 0, part); break;
    }
    if (!out.length) return out;
  }
  return out;
}

function memory() {
  globalThis.gc();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

const reader = new StreamReader({ stream: "aki" });
const outcomes = {};
let after = 0;
for (let i = 0; i < count; i++) {
  const good = [frame(1, "raw"), frame(1, "lz4"), heartbeat, bye][random(4)];
  const got = reader.read(damage(good), i);
  const name = got.code ?? got.result;
  outcomes[name] = (outcomes[name] ?? 0) + 1;
  if (got.result === "frame") toRgba(got.message);
  try {
    readControl(damage([welcome])[0] ?? new Uint8Array());
  } catch (error) {
    if (!(error instanceof MessageRejected)) throw error;
  }
  if (i === Math.floor(count / 5)) after = memory();
}
const grownMiB = (memory() - after) / 2 ** 20;
const fresh = new StreamReader();
const alone = fresh.read(frame(2n ** 62n, "lz4"), 0).result;
const later = reader.read([frame(1, "raw")[0], pack({ ...goodHeader(), ses: 77, id: 1 }), frame(1, "raw")[2]], count).result;
console.log(JSON.stringify({ count, outcomes, grownMiB: Number(grownMiB.toFixed(2)), alone, later }));
process.exitCode = alone === "frame" && later === "frame" && grownMiB < 8 ? 0 : 1;

function goodHeader() {
  return { k: "f", v: 0, w: 8, h: 6, f: "rgba8", pl: [{ e: "raw", r: "rgba", n: 192, z: 192 }] };
}
