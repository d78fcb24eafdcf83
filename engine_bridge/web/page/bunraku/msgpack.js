// msgpack with bounds: one map from bytes of unknown origin, and back. Knows nothing of what the keys mean.
// Twin: engine_bridge/avf/packing.py.

import { MessageRejected } from "./rejected.js";

const MAX_PACKED_BYTES = 64 * 1024; // of one header or control message
const MAX_MAP = 256;
const MAX_ARRAY = 1024;
const MAX_ELEMENTS = 4096; // pairs of all maps and elements of all arrays together
const MAX_DEPTH = 4;
const MAX_NESTING = 1024; // what the reader follows, to tell "too deep" from "not msgpack"

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
    this.elements = 0;
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
    this.note(level, count);
    const items = [];
    for (let i = 0; i < count; i++) items.push(this.value(level));
    return items;
  }

  map(count, level) {
    if (count > MAX_MAP) throw new MessageRejected("msgpack", `a map of ${count} keys, the limit is ${MAX_MAP}`);
    this.note(level, count);
    const map = new Map();
    for (let i = 0; i < count; i++) {
      const key = this.value(level);
      if (typeof key !== "string") throw new MessageRejected("msgpack", "a map key that is not a string");
      map.set(key, this.value(level));
    }
    return map;
  }

  note(level, count) {
    this.elements += count;
    if (this.elements > MAX_ELEMENTS) throw new MessageRejected("msgpack", `more than ${MAX_ELEMENTS} elements`);
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
