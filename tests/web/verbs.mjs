// Holds the verbs of the browser's client to the conformance kit: node tests/web/verbs.mjs [verbs.txt]

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { Wanted } from "../../engine_bridge/web/page/bunraku.js";

const VERBS = {
  hold: (wanted, name, value) => wanted.hold(name, value),
  release: (wanted, name) => wanted.release(name),
  release_all: (wanted) => wanted.releaseAll(),
  become: (wanted, name) => wanted.become(name),
  become_seed: (wanted, seed) => wanted.become(Number(seed)),
  leave_identity: (wanted) => wanted.leaveIdentity(),
  mix: (wanted, name, amount) => wanted.mix(name, amount),
  mix_seed: (wanted, seed, amount) => wanted.mix(Number(seed), amount),
  end_mix: (wanted) => wanted.endMix(),
  truncate: (wanted, _, psi) => wanted.truncate(psi),
  leave_truncation: (wanted) => wanted.leaveTruncation(),
  express: (wanted, name) => wanted.express(name),
  leave_expression: (wanted) => wanted.leaveExpression(),
  calibrate: (wanted) => wanted.calibrate(),
};
const SPECIAL = { nan: NaN, inf: Infinity, "-inf": -Infinity };

function obey(wanted, line) {
  const [verb, ...words] = line.split(" ");
  const last = words.at(-1);
  VERBS[verb](wanted, (words[0] ?? "").replace("~", ""), SPECIAL[last] ?? Number(last));
}

function refuses(wanted, line) {
  try {
    obey(wanted, line);
  } catch (error) {
    if (error instanceof RangeError) return true;
    throw error;
  }
  return false;
}

const person = (who) => (typeof who === "string" ? `name ${who}` : `seed ${who}`);

function linesOf(state) {
  if (!state) return ["sent=no"];
  const { controls, identity, mix, truncationPsi, expression, calibrate } = state;
  const lines = ["sent=yes", ...Object.keys(controls).sort().map((name) => `ex.${name}=${controls[name].toFixed(4)}`)];
  if (identity !== undefined) lines.push(`who=${person(identity)}`);
  if (mix) lines.push(`mix=${person(mix.identity)} ${mix.amount.toFixed(4)}`);
  if (truncationPsi !== undefined) lines.push(`psi=${truncationPsi.toFixed(4)}`);
  if (expression !== undefined) lines.push(`emo=${expression}`);
  if (calibrate) lines.push("cal=yes");
  return lines;
}

const path = process.argv[2] ?? fileURLToPath(new URL("../../assets/conformance/v1/verbs.txt", import.meta.url));
const script = readFileSync(path, "utf8").split("\n").filter(Boolean);
const made = [];
let wanted = new Wanted();
for (const line of script) {
  const key = line.slice(0, line.indexOf("="));
  const value = line.slice(key.length + 1);
  if (key === "case") wanted = new Wanted();
  if (key === "do") obey(wanted, value);
  if (["case", "do"].includes(key)) made.push(line);
  if (key === "refuse") made.push(refuses(wanted, value) ? line : `do=${value}`);
  if (key === "sent") made.push(...linesOf(wanted.take()));
}
const differences = script.map((line, index) => [line, made[index]]).filter(([right, mine]) => right !== mine);
for (const [right, mine] of differences.slice(0, 20)) console.log(`${mine} instead of ${right}`);
console.log(JSON.stringify({ lines: made.length, expected: script.length, differences: differences.length }));
process.exitCode = differences.length || made.length !== script.length ? 1 : 0;
