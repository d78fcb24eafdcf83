// Messages of the frame channel: topic, header, and which parts belong to them. Knows neither pixels (planes.js) nor
// what came before (reader.js). Twin: engine_bridge/avf/wire.py.

import { unpack } from "./msgpack.js";
import { readPlanes } from "./planes.js";
import { MAJOR, MAX_PARTS } from "./protocol.js";
import {
  byte, flag, float, half, list, map, needed, optional, orNil, record, side, signed, size, text, word,
} from "./records.js";
import { MessageRejected } from "./rejected.js";

const MAX_HEADER_KEYS = 64;
const MAX_TOPIC_BYTES = 80;

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
