// Messages of the control channel: what a producer says, and the state that is wanted of it. Knows nothing of sending.
// Twin: engine_bridge/avf/control_wire.py.

import { Float, pack, unpack } from "./msgpack.js";
import { MAJOR, MAX_SIDE_PX } from "./protocol.js";
import { flag, float, list, map, needed, optional, record, signed, size, text, within, word } from "./records.js";
import { MessageRejected } from "./rejected.js";

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
      throw new MessageRejected("number", `the range of ${name.slice(0, 64)} is not valid`);
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
