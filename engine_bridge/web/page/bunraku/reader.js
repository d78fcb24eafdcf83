// The frame channel, message after message: which are news, and what state the stream is in. Knows no socket and no
// clock.

import { Liveness } from "./liveness.js";
import { readMessage, splitTopic } from "./message.js";
import { MAJOR, MAX_PARTS } from "./protocol.js";
import { MessageRejected } from "./rejected.js";

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
