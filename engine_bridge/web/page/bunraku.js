// Bunraku's client for browsers: frames, controls and liveness of avf/1 (docs/protocol.md) over one WebSocket.
//
// No dependencies. What reads bytes runs in Node too; WebSocket and createImageBitmap are asked for only when used.
// Twins: engine_bridge/wire.py, packing.py, liveness.py, control_client.py.

export const MAJOR = 1;

const MAX_PACKED_BYTES = 64 * 1024; // of one header or control message
const MAX_FRAME_BYTES = 64 * 1024 * 1024;
const MAX_HEADER_KEYS = 64;
const MAX_MAP = 256;
const MAX_ARRAY = 1024;
const MAX_DEPTH = 4;
const MAX_NESTING = 1024; // what the reader follows, to tell "too deep" from "not msgpack"
const MAX_PARTS = 8;
const MAX_TOPIC_BYTES = 80;
const MAX_SIDE_PX = 8192;
const MAX_WORD = (1n << 64n) - 1n;

const BYTES_PER_PIXEL = { rgba8: 4, bgra8: 4, rgb8: 3, a8: 1 };
const ROLE_OF_FORMAT = { rgba8: "rgba", bgra8: "rgba", rgb8: "rgb", a8: "a" };
const ENCODINGS_OF_ROLE = { rgba: ["raw", "lz4"], rgb: ["raw", "lz4", "jpeg"], a: ["raw", "lz4"] };

/** A message that breaks the protocol: dropped and counted under `code`, one of the codes of docs/protocol.md. */
export class MessageRejected extends Error {
  constructor(code, text) {
    super(text);
    this.name = "MessageRejected";
    this.code = code;
  }
}

// ---------------------------------------------------------------------------------------------- msgpack with bounds

/** A number that travels as a float: JavaScript cannot tell 1.0 from 1, msgpack can. */
export class Float {
  constructor(value) {
    this.value = value;
  }
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const toUtf8 = new TextEncoder();

class Unpacker {
  constructor(bytes) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = 0;
    this.deepest = 0;
  }

  value(level) {
    const head = this.bytes[this.skip(1)];
    if (head < 0x80) return head;
    if (head < 0x90) return this.map(head & 0x0f, level + 1);
    if (head < 0xa0) return this.array(head & 0x0f, level + 1);
    if (head < 0xc0) return this.text(head & 0x1f);
    if (head >= 0xe0) return head - 256;
    const { view } = this;
    switch (head) {
      case 0xc0: return null;
      case 0xc2: return false;
      case 0xc3: return true;
      case 0xc4: return this.binary(view.getUint8(this.skip(1)));
      case 0xc5: return this.binary(view.getUint16(this.skip(2)));
      case 0xc6: return this.binary(view.getUint32(this.skip(4)));
      case 0xca: return new Float(view.getFloat32(this.skip(4)));
      case 0xcb: return new Float(view.getFloat64(this.skip(8)));
      case 0xcc: return view.getUint8(this.skip(1));
      case 0xcd: return view.getUint16(this.skip(2));
      case 0xce: return view.getUint32(this.skip(4));
      case 0xcf: return narrow(view.getBigUint64(this.skip(8)));
      case 0xd0: return view.getInt8(this.skip(1));
      case 0xd1: return view.getInt16(this.skip(2));
      case 0xd2: return view.getInt32(this.skip(4));
      case 0xd3: return narrow(view.getBigInt64(this.skip(8)));
      case 0xd9: return this.text(view.getUint8(this.skip(1)));
      case 0xda: return this.text(view.getUint16(this.skip(2)));
      case 0xdb: return this.text(view.getUint32(this.skip(4)));
      case 0xdc: return this.array(view.getUint16(this.skip(2)), level + 1);
      case 0xdd: return this.array(view.getUint32(this.skip(4)), level + 1);
      case 0xde: return this.map(view.getUint16(this.skip(2)), level + 1);
      case 0xdf: return this.map(view.getUint32(this.skip(4)), level + 1);
      default: throw new MessageRejected("msgpack", `a value of type 0x${head.toString(16)}, which the wire has not`);
    }
  }

  /** Move on, and return where it was. */
  skip(count) {
    const from = this.at;
    if (count > this.bytes.length - from) throw new MessageRejected("msgpack", "the message ends within a value");
    this.at = from + count;
    return from;
  }

  text(length) {
    const from = this.skip(length);
    try {
      return utf8.decode(this.bytes.subarray(from, from + length));
    } catch {
      throw new MessageRejected("msgpack", "a text that is not UTF-8");
    }
  }

  binary(length) {
    const from = this.skip(length);
    return this.bytes.subarray(from, from + length);
  }

  array(count, level) {
    if (count > MAX_ARRAY) throw new MessageRejected("msgpack", `an array of ${count} elements, the limit is ${MAX_ARRAY}`);
    this.note(level);
    const items = [];
    for (let i = 0; i < count; i++) items.push(this.value(level));
    return items;
  }

  map(count, level) {
    if (count > MAX_MAP) throw new MessageRejected("msgpack", `a map of ${count} keys, the limit is ${MAX_MAP}`);
    this.note(level);
    const map = new Map();
    for (let i = 0; i < count; i++) {
      const key = this.value(level);
      if (typeof key !== "string") throw new MessageRejected("msgpack", "a map key that is not a string");
      map.set(key, this.value(level));
    }
    return map;
  }

  note(level) {
    if (level > MAX_NESTING) throw new MessageRejected("msgpack", `nested deeper than ${MAX_NESTING}`);
    if (level > this.deepest) this.deepest = level;
  }
}

function narrow(big) {
  const number = Number(big);
  return Number.isSafeInteger(number) ? number : big;
}

/**
 * Read exactly one map from bytes of unknown origin.
 *
 * Returns a Map; maps inside are Maps, floats are `Float`, integers beyond 2^53 are BigInt.
 * Throws MessageRejected `header_size`, `msgpack`, `keys` or `depth`, and nothing else.
 */
export function unpack(bytes, maxKeys = MAX_MAP) {
  if (bytes.length > MAX_PACKED_BYTES) {
    throw new MessageRejected("header_size", `a packed map of ${bytes.length} bytes, the limit is ${MAX_PACKED_BYTES}`);
  }
  const unpacker = new Unpacker(bytes);
  const map = unpacker.value(0);
  if (unpacker.at !== bytes.length) throw new MessageRejected("msgpack", "bytes after the end of the map");
  if (!(map instanceof Map)) throw new MessageRejected("msgpack", "something else than a map");
  if (map.size > maxKeys) throw new MessageRejected("keys", `${map.size} keys, the limit is ${maxKeys}`);
  if (unpacker.deepest > MAX_DEPTH) throw new MessageRejected("depth", `nested deeper than ${MAX_DEPTH}`);
  return map;
}

/** Pack null, booleans, numbers, BigInts, `Float`s, strings, arrays and plain objects; undefined values are left out. */
export function pack(value) {
  const out = [];
  packInto(out, value);
  return Uint8Array.from(out);
}

function packInto(out, value) {
  if (value === null) out.push(0xc0);
  else if (typeof value === "boolean") out.push(value ? 0xc3 : 0xc2);
  else if (value instanceof Float) packFloat(out, value.value);
  else if (typeof value === "bigint" || Number.isSafeInteger(value)) packInteger(out, value);
  else if (typeof value === "number") packFloat(out, value);
  else if (typeof value === "string") {
    const bytes = toUtf8.encode(value);
    packLength(out, bytes.length, 0xa0, 32, 0xda, 0xdb);
    for (const byte of bytes) out.push(byte);
  } else if (Array.isArray(value)) {
    packLength(out, value.length, 0x90, 16, 0xdc, 0xdd);
    for (const item of value) packInto(out, item);
  } else {
    const entries = Object.entries(value).filter(([, item]) => item !== undefined);
    packLength(out, entries.length, 0x80, 16, 0xde, 0xdf);
    for (const [key, item] of entries) {
      packInto(out, key);
      packInto(out, item);
    }
  }
}

function packLength(out, length, short, shortLimit, word, long) {
  if (length < shortLimit) out.push(short | length);
  else if (length < 65536) out.push(word, length >> 8, length & 255);
  else out.push(long, length >>> 24, (length >> 16) & 255, (length >> 8) & 255, length & 255);
}

function packInteger(out, value) {
  if (value >= 0 && value < 128) {
    out.push(Number(value));
    return;
  }
  const view = new DataView(new ArrayBuffer(8));
  if (value >= 0) view.setBigUint64(0, BigInt(value));
  else view.setBigInt64(0, BigInt(value));
  out.push(value >= 0 ? 0xcf : 0xd3, ...new Uint8Array(view.buffer));
}

function packFloat(out, value) {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  out.push(0xcb, ...new Uint8Array(view.buffer));
}

// ------------------------------------------------------------------------------------------------------ typed records

const isInteger = (value) => typeof value === "bigint" || Number.isInteger(value);
const within = (value, low, high) => isInteger(value) && value >= low && value <= high;
const WRONG = Symbol("wrong type or range");

const text = (value) => (typeof value === "string" ? value : WRONG);
const flag = (value) => (typeof value === "boolean" ? value : WRONG);
const byte = (value) => (within(value, 0, 255) ? value : WRONG);
const side = (value) => (within(value, 1, MAX_SIDE_PX) ? value : WRONG);
const word = (value) => (within(value, 0, MAX_WORD) ? BigInt(value) : WRONG);
const half = (value) => (within(value, 0, 0xffffffff) ? Number(value) : WRONG);
const signed = (value) => (within(value, -(1n << 63n), (1n << 63n) - 1n) ? BigInt(value) : WRONG);
const size = (value) => (within(value, 0, MAX_WORD) ? Number(value) : WRONG); // inexact above 2^53, far over all limits
const float = (value) => (value instanceof Float ? value.value : isInteger(value) ? Number(value) : WRONG);
const orNil = (kind) => (value) => (value === null ? null : kind(value));
const map = (fields) => (value) => (value instanceof Map ? record(value, fields) : WRONG);
const list = (kind) => (value) => {
  if (!Array.isArray(value)) return WRONG;
  const items = value.map(kind);
  return items.includes(WRONG) ? WRONG : items;
};

const needed = (kind) => ({ kind, needed: true });
const optional = (kind, otherwise = null) => ({ kind, otherwise });

/** Turn a Map into an object of known keys; others are ignored. */
function record(values, fields) {
  const out = {};
  for (const [key, field] of Object.entries(fields)) {
    const value = values.get(key);
    if (value === undefined) {
      if (field.needed) throw new MessageRejected("header", `the key ${key} is missing`);
      out[key] = field.otherwise;
      continue;
    }
    out[key] = field.kind(value);
    if (out[key] === WRONG) throw new MessageRejected("header", `the key ${key} has a wrong type or range`);
  }
  return out;
}

const PROVENANCE = {
  ai: optional(flag, true), model: optional(text, ""), generator: optional(text, ""), source: optional(text, ""),
};
const STATS = {
  provider: optional(text, ""), engine_note: optional(text, ""), driver: optional(text, ""),
  engine_ms_p50: optional(float, 0), engine_ms_p99: optional(float, 0), fps: optional(float, 0),
  target_fps: optional(float, 0), dropped: optional(signed, 0n), subscribers: optional(signed, 0n),
  motion_to_photon_ms: optional(orNil(float)), frame_age_ms_p50: optional(orNil(float)),
};
const COMMON = {
  v: needed(byte), ses: needed(word), id: needed(word), off: optional(orNil(signed)), prov: optional(orNil(map(PROVENANCE))),
};
const PLANE = { e: needed(text), r: needed(text), n: needed(size), z: needed(size) };
const FRAME = {
  ...COMMON,
  w: needed(side), h: needed(side), f: needed(text), pl: needed(list(map(PLANE))), st: optional(orNil(size)),
  cs: optional(text, "srgb"), am: optional(text, "straight"), org: optional(text, "top"),
  tc: optional(signed, 0n), tr: optional(signed, 0n), tp: optional(signed, 0n), ca: optional(word, 0n),
  ct: optional(signed, 0n), eng: optional(text, ""), key: optional(flag, true), roi: optional(orNil(list(size))),
  crc: optional(orNil(half)),
};
const HEARTBEAT = {
  ...COMMON,
  n: optional(word, 0n), ctl: optional(text, ""), enc: optional(list(text), ["raw"]), shm: optional(text, ""),
  stats: optional(orNil(map(STATS))),
};
const CONTROL = { name: needed(text), minimum: needed(float), maximum: needed(float), rest: needed(float), group: optional(text, "") };
const INFO = {
  session: needed(word), stream: needed(text), character: needed(text), width: needed(size), height: needed(size),
  fps: needed(float), controls: needed(list(map(CONTROL))), identities: optional(list(text), []),
  expressions: optional(list(map({ name: needed(text), hotkey: optional(text, "") })), []),
  has_mapping: optional(flag, false), provider: optional(text, ""),
};
const FROM_SERVER = {
  welcome: {
    proto: needed(size), ses: needed(word), info: needed(map(INFO)), v: optional(size, 0),
    streams: optional(list(text), []), caps: optional(list(text), []),
  },
  refuse: { code: needed(text), text: needed(text), ses: optional(word, 0n) },
  pong: { t: needed(signed), r: needed(signed), ses: needed(word) },
};

// ---------------------------------------------------------------------------------------------------- reading frames

/** Major version, variant and stream of a topic; throws MessageRejected `topic`. */
export function splitTopic(part) {
  const topic = part.length <= MAX_TOPIC_BYTES ? String.fromCharCode(...part) : "";
  const match = /^avf(\d{1,5})(?:\.([a-z0-9]{1,8}))?\/([A-Za-z0-9._-]{1,59})$/.exec(topic);
  if (!match) throw new MessageRejected("topic", "the topic is not avf<major>/<stream>");
  return { major: Number(match[1]), variant: match[2] ?? "raw", stream: match[3] };
}

/**
 * Read one message of the frame channel.
 *
 * parts: Uint8Arrays as received. Planes that are raw refer to their memory; JPEG planes are left packed, checked for
 * size. Returns `{kind: "frame" | "heartbeat" | "bye", stream, header, planes}`.
 * Throws MessageRejected and nothing else, whatever the bytes.
 */
export function readMessage(parts) {
  if (parts.length < 2 || parts.length > MAX_PARTS) {
    throw new MessageRejected("parts", `a message of ${parts.length} parts; 2 to ${MAX_PARTS} are possible`);
  }
  const { major, stream } = splitTopic(parts[0]);
  if (major !== MAJOR) throw new MessageRejected("version", `the producer speaks avf/${major}, this page avf/${MAJOR}`);
  const values = unpack(parts[1], MAX_HEADER_KEYS);
  const payload = parts.slice(2);
  switch (values.get("k")) {
    case "f": {
      const header = record(values, FRAME);
      return { kind: "frame", stream, header, planes: readPlanes(header, payload) };
    }
    case "h": {
      refusePayload(payload);
      const header = record(values, HEARTBEAT);
      const numbers = Object.values(header.stats ?? {}).filter((value) => typeof value === "number");
      if (!numbers.every(Number.isFinite)) throw new MessageRejected("number", "a heartbeat with a number that is not finite");
      return { kind: "heartbeat", stream, header, planes: [] };
    }
    case "b":
      refusePayload(payload);
      return { kind: "bye", stream, header: record(values, COMMON), planes: [] };
    default:
      throw new MessageRejected("kind", "unknown kind of message");
  }
}

function refusePayload(payload) {
  if (payload.length) throw new MessageRejected("parts", `${payload.length} payload parts where none belong`);
}

function readPlanes(header, payload) {
  const known = { f: Object.keys(BYTES_PER_PIXEL), cs: ["srgb", "linear"], am: ["straight", "premul", "opaque"], org: ["top", "bottom"] };
  for (const [key, values] of Object.entries(known)) {
    if (!values.includes(header[key])) throw new MessageRejected("format", `${key} is none of ${values.join(", ")}`);
  }
  for (const { e, r } of header.pl) {
    if (!Object.hasOwn(ENCODINGS_OF_ROLE, r)) throw new MessageRejected("planes", `unknown role of a plane: ${r.slice(0, 32)}`);
    if (!ENCODINGS_OF_ROLE[r].includes(e)) {
      throw new MessageRejected("encoding", `a plane ${r} encoded as ${e.slice(0, 16)}, which this page cannot read`);
    }
  }
  const roles = header.pl.map((plane) => plane.r).join("+");
  const split = header.f === "rgba8" && roles === "rgb+a";
  if (roles !== ROLE_OF_FORMAT[header.f] && !split) throw new MessageRejected("planes", `${header.f} in the planes ${roles.slice(0, 32)}`);
  if (payload.length !== header.pl.length) {
    throw new MessageRejected("parts", `${payload.length} payload parts for ${header.pl.length} planes`);
  }
  const sizes = header.pl.map((plane, index) => planeBytes(header, plane, payload[index], split));
  if (Math.max(...sizes) > MAX_FRAME_BYTES) throw new MessageRejected("size", `more than ${MAX_FRAME_BYTES} bytes`);
  const planes = header.pl.map((plane, index) => readPlane(header, plane, payload[index], sizes[index]));
  if (header.crc !== null && header.pl[0].e !== "jpeg" && crc32(planes[0].bytes) !== header.crc) {
    throw new MessageRejected("crc", `frame ${header.id}: the pixels do not match their checksum`);
  }
  return planes;
}

/** Bytes of a decoded plane, after the lengths were compared. */
function planeBytes(header, plane, part, split) {
  const perPixel = { rgba: 4, rgb: 3, a: 1 }[plane.r];
  const packed = plane.e === "jpeg";
  let stride = header.w * perPixel;
  if (header.st !== null) {
    if (split || packed || header.st < stride) throw new MessageRejected("size", `rows of ${header.st} bytes are not possible here`);
    stride = header.st;
  }
  const bytes = stride * header.h;
  const onWire = plane.e === "raw" ? bytes : part.length;
  if (plane.n !== bytes || plane.z !== onWire || part.length !== onWire) {
    throw new MessageRejected(
      "size", `${header.w}x${header.h} needs ${bytes} bytes; announced are ${plane.n}, on the wire ${plane.z}, arrived ${part.length}`,
    );
  }
  return bytes;
}

function readPlane(header, plane, part, bytes) {
  if (plane.e === "jpeg") {
    checkJpeg(part, header.w, header.h);
    return { role: plane.r, jpeg: part };
  }
  if (plane.e === "raw") return { role: plane.r, bytes: part };
  const decoded = new Uint8Array(bytes);
  decodeLz4(part, decoded);
  return { role: plane.r, bytes: decoded };
}

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

/** Look into a JPEG's headers: before anything decodes it, it must be YCbCr of the size announced. */
function checkJpeg(bytes, width, height) {
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

let crcTable;

function crc32(bytes) {
  crcTable ??= Uint32Array.from({ length: 256 }, (_, value) => {
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
    return value;
  });
  let crc = 0xffffffff;
  for (let i = 0; i < bytes.length; i++) crc = crcTable[(crc ^ bytes[i]) & 255] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

// ------------------------------------------------------------------------------------------------------------- pixels

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

// ------------------------------------------------------------------------------------------- liveness and frame order

export const STALE_AFTER_MS = 1500;
export const LOST_AFTER_MS = 5000;
const BAD_IN_A_ROW = 30;
const BAD_FOR_MS = 2000;
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 4000;

/** The state machine of one link; time is an argument, in milliseconds. */
export class Liveness {
  constructor() {
    this.reconnects = 0;
    this.heard = null;
    this.badInARow = 0;
    this.firstBad = null;
    this.lastBad = null;
    this.failing = false;
    this.isIncompatible = false;
    this.pause = FIRST_PAUSE_MS;
  }

  /** "LIVE", "STALE", "LOST", "ERROR" or "INCOMPATIBLE". */
  state(now) {
    if (this.isIncompatible) return "INCOMPATIBLE";
    const silent = this.heard === null ? Infinity : now - this.heard;
    if (silent >= LOST_AFTER_MS) {
      const recentlyBad = this.lastBad !== null && now - this.lastBad < LOST_AFTER_MS;
      return this.failing && recentlyBad ? "ERROR" : "LOST";
    }
    if (this.failing) return "ERROR";
    return silent >= STALE_AFTER_MS ? "STALE" : "LIVE";
  }

  /** A frame (or, on the control channel, an answer) came that can be used. */
  good(now) {
    this.heard = now;
    this.failing = this.isIncompatible = false;
    this.pause = FIRST_PAUSE_MS;
    this.forgetBad();
  }

  /** The producer is there; that alone does not excuse bad frames of the last two seconds. */
  heartbeat(now) {
    if (this.lastBad === null || now - this.lastBad >= BAD_FOR_MS) this.good(now);
    this.heard = now;
    this.isIncompatible = false;
  }

  /** Something came that cannot be used. Returns ms to wait before connecting anew, or null to go on. */
  bad(now) {
    this.badInARow += 1;
    this.lastBad = now;
    this.firstBad ??= now;
    if (this.badInARow < BAD_IN_A_ROW && now - this.firstBad < BAD_FOR_MS) return null;
    this.failing = true;
    this.reconnects += 1;
    this.badInARow = 0;
    this.firstBad = null;
    const pause = this.pause;
    this.pause = Math.min(2 * pause, LONGEST_PAUSE_MS);
    return pause;
  }

  incompatible() {
    this.isIncompatible = true;
  }

  bye() {
    this.heard = null;
    this.failing = false;
    this.forgetBad();
  }

  forgetBad() {
    this.badInARow = 0;
    this.firstBad = this.lastBad = null;
  }
}

/**
 * What a client makes of the messages of the frame channel, one after another: which are news, which are dropped.
 *
 * Attributes: stream (null until one is heard), session, late, missed (gaps in the numbers), bad (Map code -> count),
 * lastError, liveness.
 */
export class StreamReader {
  constructor({ stream = null, variant = "raw" } = {}) {
    this.wanted = stream;
    this.stream = stream;
    this.variant = variant;
    this.session = null;
    this.lastId = -1n;
    this.late = 0;
    this.missed = 0;
    this.bad = new Map();
    this.lastError = "";
    this.liveness = new Liveness();
  }

  /**
   * Take a message. `now`: milliseconds of any monotonic clock.
   *
   * Returns `{result}`: "frame" (with `message`), "heartbeat" (with `message`), "bye", "late", "ignored", or "drop"
   * (with `code`, and `pause` in ms when the connection is hopeless). Never throws because of what is in the message.
   */
  read(parts, now) {
    try {
      if (parts.length >= 2 && parts.length <= MAX_PARTS) {
        const topic = splitTopic(parts[0]);
        const other = (this.stream !== null && topic.stream !== this.stream) || topic.variant !== this.variant;
        if (topic.major === MAJOR && other) return { result: "ignored" };
      }
      return this.note(readMessage(parts), now);
    } catch (error) {
      if (!(error instanceof MessageRejected)) throw error;
      return this.reject(error, now);
    }
  }

  /** Count a message that cannot be used; for planes that turn out broken when they are decoded later. */
  reject(error, now) {
    this.bad.set(error.code, (this.bad.get(error.code) ?? 0) + 1);
    this.lastError = error.message;
    if (error.code !== "version") return { result: "drop", code: error.code, pause: this.liveness.bad(now) };
    this.liveness.incompatible();
    return { result: "drop", code: error.code, pause: null };
  }

  /** The state, and after a long silence any stream is welcome again. */
  state(now) {
    const state = this.liveness.state(now);
    if (state === "LOST") this.stream = this.wanted;
    return state;
  }

  note(message, now) {
    const { kind, header } = message;
    if (kind === "bye") {
      if (header.ses === this.session) this.liveness.bye();
      return { result: "bye" };
    }
    this.stream = message.stream;
    if (header.ses !== this.session) {
      this.session = header.ses;
      this.lastId = -1n;
    }
    if (kind === "heartbeat") {
      this.liveness.heartbeat(now);
      return { result: "heartbeat", message };
    }
    this.liveness.good(now);
    if (header.id <= this.lastId) {
      this.late += 1;
      return { result: "late" };
    }
    if (this.lastId >= 0n) this.missed += Number(header.id - this.lastId - 1n);
    this.lastId = header.id;
    return { result: "frame", message };
  }
}

// ---------------------------------------------------------------------------------------------------- control channel

/** Read what a producer says on the control channel: `{kind, ...}`. Throws MessageRejected and nothing else. */
export function readControl(part) {
  const values = unpack(part);
  const kind = values.get("k");
  if (typeof kind !== "string" || !Object.hasOwn(FROM_SERVER, kind)) throw new MessageRejected("kind", "unknown kind of message");
  const message = { kind, ...record(values, FROM_SERVER[kind]) };
  if (kind === "welcome") checkWelcome(message);
  return message;
}

function checkWelcome({ proto, info }) {
  if (proto !== MAJOR) throw new MessageRejected("version", `the producer chose avf/${proto}, this page speaks avf/${MAJOR}`);
  if (!within(info.width, 1, MAX_SIDE_PX) || !within(info.height, 1, MAX_SIDE_PX)) {
    throw new MessageRejected("size", `a stream of ${info.width}x${info.height} pixels`);
  }
  if (!(Number.isFinite(info.fps) && info.fps >= 0)) throw new MessageRejected("number", `a stream of ${info.fps} frames per second`);
  for (const { name, minimum, maximum, rest } of info.controls) {
    if (!(-Infinity < minimum && minimum <= rest && rest <= maximum && maximum < Infinity)) {
      throw new MessageRejected("number", `the range of ${name.slice(0, 64)} is none`);
    }
  }
}

/**
 * Pack a control state; see `BunrakuClient.set` for the keys.
 *
 * Throws RangeError if a number is not finite: the producer would refuse the whole state.
 */
export function packState(state, cid, ts) {
  const number = (value, name) => {
    if (!Number.isFinite(value)) throw new RangeError(`${name} is ${value}; leave such a control out`);
    return new Float(value);
  };
  const controls = Object.entries(state.controls ?? {}).map(([name, value]) => [name, number(value, name)]);
  return pack({
    k: "set", cid, ts,
    ex: Object.fromEntries(controls),
    who: state.identity ?? undefined,
    mix: state.mix ? { who: state.mix.identity, amount: number(state.mix.amount, "mix.amount") } : undefined,
    psi: state.truncationPsi === undefined ? undefined : number(state.truncationPsi, "truncationPsi"),
    emo: state.expression ?? undefined,
    cal: state.calibrate ? true : undefined,
  });
}

// ------------------------------------------------------------------------------------------------------ the WebSocket

/** Split a binary message of the relay into its parts; null if the lengths do not fill it exactly. */
export function splitParts(buffer) {
  const bytes = new Uint8Array(buffer);
  const view = new DataView(buffer);
  const count = bytes.length ? bytes[0] : 0;
  let from = 1 + 4 * count;
  if (from > bytes.length) return null;
  const parts = [];
  for (let i = 0; i < count; i++) {
    const length = view.getUint32(1 + 4 * i, true);
    if (length > bytes.length - from) return null;
    parts.push(bytes.subarray(from, from + length));
    from += length;
  }
  return from === bytes.length ? parts : null;
}

/** One part as a binary message for the relay. */
export function joinPart(part) {
  const bytes = new Uint8Array(5 + part.length);
  bytes[0] = 1;
  new DataView(bytes.buffer).setUint32(1, part.length, true);
  bytes.set(part, 5);
  return bytes;
}

/** The last few hundred values, for percentiles. */
class Recent {
  constructor(kept = 240) {
    this.kept = kept;
    this.values = [];
  }

  add(value) {
    this.values.push(value);
    if (this.values.length > this.kept) this.values.shift();
  }

  /** null before the first value. */
  percentile(percent) {
    if (!this.values.length) return null;
    const sorted = this.values.slice().sort((a, b) => a - b);
    return sorted[Math.min(sorted.length - 1, Math.floor((percent / 100) * sorted.length))];
  }
}

const LOOK_AROUND_MS = 250;
const KEEP_IN_TOUCH_MS = 500;
const AFTER_REFUSAL_MS = 10000;
const REPORT_MS = 1000;
const STATES_REMEMBERED = 256;
const CLOCKS_AGREE_MS = 60000; // an age beyond this says that the two hosts' clocks differ

const monotonicNs = () => BigInt(Math.round(performance.now() * 1e6));
const loopback = (host) => host === "localhost" || host === "[::1]" || host.startsWith("127.");

/**
 * A stream of a producer: the newest frame for whoever draws, and controls back to it.
 *
 * Connects at once and again after every loss; nothing here throws because of what arrives. In each animation frame
 * call `take()`, draw what it gives, and call `shown(frame)`: that asks for the next one.
 *
 * Events: "frame", "state", "info" (the producer's welcome), "heartbeat", "refused" (`detail`: {code, text}).
 *
 * A frame is `{header, stream, width, height, rgba}`, or with `bitmap` (ImageBitmap: colour) and `alpha` (Uint8Array,
 * null if opaque) in place of `rgba` where the colour came as JPEG. `close()` of the bitmap is the client's business:
 * it happens when the next frame is taken.
 */
export class BunrakuClient extends EventTarget {
  /**
   * options: address ("http://HOST:PORT" of the relay; the page's own by default), stream (null: the producer's
   * choice), encoding ("raw", "lz4", "jpeg" or "auto": raw on the same host, JPEG elsewhere if there is any), token,
   * name (told to the producer).
   */
  constructor({ address = globalThis.location?.origin, stream = null, encoding = "auto", token = null, name = "browser" } = {}) {
    super();
    this.address = new URL(address);
    this.name = name;
    this.info = null;
    this.stats = null;
    this.provenance = null;
    this.lastRefusal = null;
    this.lastError = "";
    this.counts = { received: 0, shown: 0, skipped: 0 };
    this.ages = new Recent();
    this.motionToPhoton = new Recent();
    this.roundTrips = new Recent(32);
    this.wanted = { stream, encoding, token };
    this.encoding = encoding === "auto" ? "raw" : encoding;
    this.reader = new StreamReader({ stream, variant: this.encoding });
    this.control = new Liveness();
    this.newest = null;
    this.taken = null;
    this.offsetNs = null;
    this.lastState = null;
    this.cid = 0;
    this.sentNs = new Map();
    this.lastPhoton = 0n;
    this.pauseMs = FIRST_PAUSE_MS;
    this.stateNow = "LOST";
    this.nextTouch = 0;
    this.nextReport = 0;
    this.closed = false;
    this.connect();
    this.timer = setInterval(() => this.lookAround(), LOOK_AROUND_MS);
  }

  /** "LIVE", "STALE", "LOST", "ERROR" or "INCOMPATIBLE". */
  get state() {
    return this.reader.state(performance.now());
  }

  /** The newest frame, or null if there is none newer than what was taken before. Valid until the next one is taken. */
  take() {
    const frame = this.newest;
    if (frame) {
      this.taken?.bitmap?.close();
      this.taken = frame;
      this.newest = null;
    }
    return frame;
  }

  /** Tell that a frame was drawn, and ask for the next. */
  shown(frame) {
    this.counts.shown += 1;
    const { tp, ca, ct } = frame.header;
    if (tp !== 0n && this.offsetNs !== null) {
      const age = Date.now() - Number((tp + this.offsetNs) / 1000n) / 1000;
      if (Math.abs(age) < CLOCKS_AGREE_MS) this.ages.add(age);
    }
    if (ca > this.lastPhoton && this.sentNs.get(ca) === ct) {
      this.lastPhoton = ca;
      this.motionToPhoton.add(Number(monotonicNs() - ct) / 1e6);
    }
    this.ask();
  }

  /**
   * Want a state; it replaces the one before. Repeat in it what should be held.
   *
   * state: {controls: {name: number}, identity: string or seed, mix: {identity, amount}, truncationPsi, expression
   * ("" fades to none), calibrate}; all optional. Throws RangeError if a number is not finite.
   */
  set(state) {
    this.lastState = state;
    const cid = ++this.cid;
    const ts = monotonicNs();
    const packed = packState(state, cid, ts);
    this.sentNs.set(BigInt(cid), ts);
    if (this.sentNs.size > STATES_REMEMBERED) this.sentNs.delete(this.sentNs.keys().next().value);
    this.send(packed);
  }

  /** End for good. */
  close() {
    this.closed = true;
    clearInterval(this.timer);
    this.socket.close();
    this.newest?.bitmap?.close();
    this.taken?.bitmap?.close();
  }

  // From here on: internal.

  url(scheme) {
    const url = new URL("/avf1", this.address);
    if (scheme === "ws") url.protocol = this.address.protocol === "https:" ? "wss:" : "ws:";
    if (this.wanted.stream) url.searchParams.set("stream", this.wanted.stream);
    url.searchParams.set("enc", this.encoding);
    if (this.wanted.token) url.searchParams.set("token", this.wanted.token);
    return url;
  }

  connect() {
    const socket = new WebSocket(this.url("ws"));
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    let opened = false;
    socket.onopen = () => {
      opened = true;
      this.ask();
      this.nextTouch = 0;
      this.lookAround();
    };
    socket.onmessage = ({ data }) => {
      if (socket === this.socket && data instanceof ArrayBuffer) this.receive(data);
    };
    socket.onclose = () => {
      if (socket !== this.socket || this.closed) return;
      if (!opened) this.askWhy();
      // The relay lives with the producer, or says by a heartbeat that there is none: a lost relay is a lost producer.
      this.reader.liveness.bye();
      this.reconnect(this.pauseMs);
      this.pauseMs = Math.min(2 * this.pauseMs, LONGEST_PAUSE_MS);
    };
  }

  reconnect(pauseMs) {
    const old = this.socket;
    this.socket = { close() {}, readyState: 3 };
    old.close();
    this.tellState();
    setTimeout(() => this.closed || this.connect(), pauseMs);
  }

  /** A WebSocket that is refused does not say why; the same address as a page does. */
  async askWhy() {
    try {
      const answer = await fetch(this.url("http"));
      this.lastError = answer.status === 426 ? "" : (await answer.text()).trim();
    } catch {
      this.lastError = `Nothing answers at ${this.address.host}.`;
    }
    this.tellState();
  }

  ask() {
    if (this.socket.readyState === 1) this.socket.send("more");
  }

  send(packed) {
    if (this.socket.readyState === 1) this.socket.send(joinPart(packed));
  }

  receive(data) {
    const parts = splitParts(data);
    if (parts?.length === 1) return this.receiveControl(parts[0]);
    const now = performance.now();
    const got = this.reader.read(parts ?? [], now);
    if (got.result === "drop") this.lastError = this.reader.lastError;
    else {
      this.lastError = "";
      this.pauseMs = FIRST_PAUSE_MS;
    }
    if (got.result === "heartbeat") this.noteHeartbeat(got.message.header);
    if (got.result === "frame") this.accept(got.message);
    else if (parts?.length > 2) this.ask(); // it was the answer to our question, and no picture
    this.tellState();
    if (got.pause !== null && got.pause !== undefined) this.reconnect(got.pause);
  }

  async accept(message) {
    const { header, planes, stream } = message;
    const frame = { header, stream, width: header.w, height: header.h, rgba: null, bitmap: null, alpha: null };
    if (planes[0].jpeg) {
      try {
        await this.decodeJpeg(frame, planes);
      } catch {
        this.reader.reject(new MessageRejected("decode", "a JPEG that the browser cannot decode"), performance.now());
        this.ask();
        return;
      }
    } else frame.rgba = toRgba(message);
    if (this.newest) {
      this.counts.skipped += 1;
      this.newest.bitmap?.close();
    }
    this.counts.received += 1;
    this.newest = frame;
    this.dispatchEvent(new Event("frame"));
  }

  async decodeJpeg(frame, planes) {
    const plain = { premultiplyAlpha: "none", colorSpaceConversion: "none" };
    const flip = frame.header.org === "bottom" ? { imageOrientation: "flipY" } : {};
    frame.bitmap = await createImageBitmap(new Blob([planes[0].jpeg], { type: "image/jpeg" }), { ...plain, ...flip });
    if (frame.header.am === "opaque" || planes.length < 2) return;
    frame.alpha = planes[1].bytes;
    if (frame.header.org === "bottom") {
      const { w, h } = frame.header;
      frame.alpha = new Uint8Array(w * h);
      for (let y = 0; y < h; y++) frame.alpha.set(planes[1].bytes.subarray((h - 1 - y) * w, (h - y) * w), y * w);
    }
  }

  noteHeartbeat(header) {
    this.stats = header.stats;
    this.provenance = header.prov ?? this.provenance;
    this.offsetNs = header.off;
    if (!this.info && this.control.state(performance.now()) !== "INCOMPATIBLE") this.sayHello();
    this.dispatchEvent(new Event("heartbeat"));
    const better = this.wanted.encoding === "auto" && this.encoding === "raw" && !loopback(this.address.hostname);
    if (better && header.enc.includes("jpeg")) {
      this.encoding = "jpeg";
      this.reader.variant = "jpeg";
      this.reconnect(0);
    }
  }

  receiveControl(part) {
    const now = performance.now();
    let message;
    try {
      message = readControl(part);
    } catch (error) {
      if (!(error instanceof MessageRejected)) throw error;
      this.lastError = error.message;
      if (error.code === "version") this.control.incompatible();
      else this.control.bad(now);
      return;
    }
    if (message.kind === "refuse") {
      this.lastRefusal = message;
      if (message.code === "version") this.control.incompatible();
      else this.control.good(now);
      this.dispatchEvent(new CustomEvent("refused", { detail: { code: message.code, text: message.text } }));
      return;
    }
    this.control.good(now);
    if (message.kind === "welcome") {
      const again = this.session !== undefined && this.session !== message.ses;
      this.session = message.ses;
      this.info = message.info;
      if (again && this.lastState) this.set({ ...this.lastState, calibrate: false });
      this.dispatchEvent(new Event("info"));
      return;
    }
    this.roundTrips.add(Number(monotonicNs() - message.t) / 1e6);
    if (this.info && message.ses !== this.info.session) {
      // The producer was started anew and knows neither this page nor what it wants.
      this.info = null;
      this.sayHello();
    }
  }

  sayHello() {
    this.send(pack({ k: "hello", proto: [MAJOR], name: this.name, caps: ["raw", "lz4", "jpeg"] }));
  }

  lookAround() {
    const now = performance.now();
    if (now >= this.nextTouch && this.socket.readyState === 1) {
      const incompatible = this.control.state(now) === "INCOMPATIBLE";
      this.nextTouch = now + (incompatible ? AFTER_REFUSAL_MS : KEEP_IN_TOUCH_MS);
      if (!this.info || incompatible) this.sayHello();
      else this.send(pack({ k: "ping", t: monotonicNs() }));
    }
    if (now >= this.nextReport && this.info) {
      this.nextReport = now + REPORT_MS;
      const age = (percent) => new Float(Math.max(0, this.ages.percentile(percent) ?? 0));
      const dropped = this.counts.skipped + this.reader.missed;
      this.send(pack({ k: "stat", shown: this.counts.shown, dropped, age_p50: age(50), age_p99: age(99) }));
    }
    this.tellState();
  }

  tellState() {
    const state = `${this.state} ${this.lastError}`;
    if (state !== this.stateNow) {
      this.stateNow = state;
      this.dispatchEvent(new Event("state"));
    }
  }
}
