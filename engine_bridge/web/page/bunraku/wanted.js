// What a client wants of a character right now, changed by the verbs of docs/protocol.md and always sent complete.
// Opens no connection. Twin: engine_bridge/client/wanted.py.

const MAX_CONTROLS = 256;
const MAX_SEED = 2n ** 63n - 1n;

/**
 * Change it by verbs, then `send(client)`, or hand what `take()` gives to `BunrakuClient.set`.
 *
 * A verb given a value that cannot be sent throws RangeError and changes nothing.
 */
export class Wanted {
  constructor() {
    this.controls = new Map();
    this.others = {}; // identity, mix, truncationPsi, expression, as BunrakuClient.set has them
    this.calibrates = false;
    this.changed = false;
  }

  /** Hold a control: degrees for poses and gaze, otherwise 0 to 1; the producer clamps. */
  hold(control, value) {
    checkName(control, "a control");
    if (!Number.isFinite(value)) throw new RangeError(`${control} is ${value}; hold it at a number`);
    if (this.controls.size >= MAX_CONTROLS && !this.controls.has(control)) {
      throw new RangeError(`${control} is one control too many: ${MAX_CONTROLS} can be held. Release some first`);
    }
    this.changed ||= this.controls.get(control) !== value;
    this.controls.set(control, value);
  }

  /** Give a control back to the other drivers. One that is not held changes nothing. */
  release(control) {
    if (this.controls.delete(control)) this.changed = true;
  }

  /** Release all controls; identity, mix, truncation and expression stay. */
  releaseAll() {
    this.changed ||= this.controls.size > 0;
    this.controls.clear();
  }

  /** Become an identity: a name, or a seed (a whole number or a BigInt) where the character has a mapping network. */
  become(identity) {
    this.put("identity", checkIdentity(identity));
  }

  /** Stop sending an identity; the producer keeps the current one. */
  leaveIdentity() {
    this.leave("identity");
  }

  /** Mix a second identity in: 0 is all the first, 1 is all this one. */
  mix(identity, amount) {
    this.put("mix", { identity: checkIdentity(identity), amount: checkShare(amount, "the amount of a mix") });
  }

  /** End the mix. Sent as an amount of 0, because a producer keeps what is left out. */
  endMix() {
    if (this.others.mix) this.put("mix", { ...this.others.mix, amount: 0 });
  }

  /** Truncation of people drawn from seeds, 0 to 1; less draws more ordinary ones. */
  truncate(psi) {
    this.put("truncationPsi", checkShare(psi, "truncation"));
  }

  /** Stop sending a truncation; the producer keeps the current one. */
  leaveTruncation() {
    this.leave("truncationPsi");
  }

  /** Fade to a named expression; the empty name fades to none. */
  express(expression) {
    if (typeof expression !== "string") throw new RangeError(`an expression is a name, not ${expression}`);
    this.put("expression", expression);
  }

  /** Stop sending an expression; the producer keeps the current one. */
  leaveExpression() {
    this.leave("expression");
  }

  /** Take the present pose of a tracker as the neutral one: an event, sent with the next state only. */
  calibrate() {
    this.calibrates = true;
    this.changed = true;
  }

  /** The state for `BunrakuClient.set` if it changed since the last call, otherwise null. */
  take() {
    if (!this.changed) return null;
    const state = { controls: Object.fromEntries(this.controls), ...this.others };
    if (this.calibrates) state.calibrate = true;
    this.changed = this.calibrates = false;
    return state;
  }

  /** Let a client send what changed, if anything did. */
  send(client) {
    const state = this.take();
    if (state) client.set(state);
  }

  // Internal from here on.

  put(key, value) {
    this.changed ||= !same(this.others[key], value);
    this.others[key] = value;
  }

  leave(key) {
    this.changed ||= key in this.others;
    delete this.others[key];
  }
}

function same(left, right) {
  if (typeof left === "object" && typeof right === "object") {
    return left.identity === right.identity && left.amount === right.amount;
  }
  return left === right;
}

function checkName(name, what) {
  if (typeof name !== "string" || name === "") throw new RangeError(`the name of ${what} is empty or not text`);
  return name;
}

function checkIdentity(identity) {
  if (typeof identity === "string") return checkName(identity, "an identity");
  const whole = typeof identity === "bigint" ? identity <= MAX_SEED : Number.isSafeInteger(identity);
  if (!whole || identity < 0) throw new RangeError(`${identity} is not a seed; seeds are whole numbers from 0`);
  return identity;
}

function checkShare(share, what) {
  if (!(share >= 0 && share <= 1)) throw new RangeError(`${what} is ${share}; give 0 to 1`);
  return share;
}
