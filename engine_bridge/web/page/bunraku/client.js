// The client: one WebSocket to the relay, the newest frame for whoever draws, controls and measurements back. It puts
// the other files together; bytes and rules are theirs. WebSocket and createImageBitmap are asked for only when used.
// Twin: engine_bridge/client/control_client.py.

import { packState, readControl } from "./control.js";
import { FIRST_PAUSE_MS, LONGEST_PAUSE_MS, Liveness } from "./liveness.js";
import { Float, pack } from "./msgpack.js";
import { joinPart, splitParts } from "./parts.js";
import { toRgba } from "./pixels.js";
import { MAJOR } from "./protocol.js";
import { StreamReader } from "./reader.js";
import { Recent } from "./recent.js";
import { MessageRejected } from "./rejected.js";

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
   * options: address ("http://HOST:PORT" of the relay, or "https://HOST/PATH/" where a proxy has it below a path; the page's
   * own by default), stream (null: the producer's choice), encoding ("raw", "lz4", "jpeg" or "auto": raw on the same
   * host, JPEG elsewhere if there is any), token, name (told to the producer).
   */
  constructor({ address = globalThis.location?.href, stream = null, encoding = "auto", token = null, name = "browser" } = {}) {
    super();
    this.address = new URL(".", address); // below the path of a proxy, too
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
    const url = new URL("avf1", this.address);
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
      // The producer was restarted and knows neither this page nor what it wants.
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
