// Whether the other side of a link is alive, by what was heard from it and when. Knows no socket, clock or message.
// Twin: engine_bridge/client/liveness.py.

export const STALE_AFTER_MS = 1500;
export const LOST_AFTER_MS = 5000;
const BAD_IN_A_ROW = 30;
const BAD_FOR_MS = 2000;
export const FIRST_PAUSE_MS = 250;
export const LONGEST_PAUSE_MS = 4000;

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

  /** Something came that cannot be used. Returns ms to wait before reconnecting, or null to go on. */
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
