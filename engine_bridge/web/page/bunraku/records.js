// Typed records: which keys a map must and may have, of which type and range. Knows no message: those who read one say
// what is in it.

import { Float } from "./msgpack.js";
import { MAX_SIDE_PX } from "./protocol.js";
import { MessageRejected } from "./rejected.js";

const MAX_WORD = (1n << 64n) - 1n;

const isInteger = (value) => typeof value === "bigint" || Number.isInteger(value);
export const within = (value, low, high) => isInteger(value) && value >= low && value <= high;
const WRONG = Symbol("wrong type or range");

// Kinds: each returns what becomes of a value of that kind, and WRONG for any other.
export const text = (value) => (typeof value === "string" ? value : WRONG);
export const flag = (value) => (typeof value === "boolean" ? value : WRONG);
export const byte = (value) => (within(value, 0, 255) ? value : WRONG);
export const side = (value) => (within(value, 1, MAX_SIDE_PX) ? value : WRONG);
export const word = (value) => (within(value, 0, MAX_WORD) ? BigInt(value) : WRONG);
export const half = (value) => (within(value, 0, 0xffffffff) ? Number(value) : WRONG);
export const signed = (value) => (within(value, -(1n << 63n), (1n << 63n) - 1n) ? BigInt(value) : WRONG);
export const size = (value) => (within(value, 0, MAX_WORD) ? Number(value) : WRONG); // inexact above 2^53, far over all limits
export const float = (value) => (value instanceof Float ? value.value : isInteger(value) ? Number(value) : WRONG);
export const orNil = (kind) => (value) => (value === null ? null : kind(value));
export const map = (fields) => (value) => (value instanceof Map ? record(value, fields) : WRONG);
export const list = (kind) => (value) => {
  if (!Array.isArray(value)) return WRONG;
  const items = value.map(kind);
  return items.includes(WRONG) ? WRONG : items;
};

export const needed = (kind) => ({ kind, needed: true });
export const optional = (kind, otherwise = null) => ({ kind, otherwise });

/** Turn a Map into an object of known keys; others are ignored. */
export function record(values, fields) {
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
