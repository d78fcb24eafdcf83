// Holds the browser's reader to the conformance kit: node tests/web/conformance.mjs [FOLDER OF CASES]
//
// One line per case; exit code 1 if any differs. What Node cannot do (JPEG) or no browser can (shared memory) is
// skipped and says so.

import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { StreamReader, toRgba } from "../../engine_bridge/web/page/bunraku.js";

const WHY_NOT = { jpeg: "Node has no JPEG decoder", shm: "no browser reads shared memory" };
const FIELDS = ["stream", "id", "ses", "w", "h", "eng", "tc", "tr", "tp", "ca", "ct"];

const folder = process.argv[2] ?? fileURLToPath(new URL("../../assets/conformance/v1/cases", import.meta.url));
const tally = { passed: 0, failed: 0, skipped: 0 };

for (const name of readdirSync(folder).sort()) {
  const outcome = runCase(join(folder, name));
  tally[outcome.verdict] += 1;
  if (outcome.verdict !== "passed") console.log(`${outcome.verdict} ${name}: ${outcome.why}`);
}
console.log(JSON.stringify(tally));
process.exitCode = tally.failed || !tally.passed ? 1 : 0;

function runCase(path) {
  const expected = readExpectation(join(path, "expect.txt"));
  for (const need of (expected.get("needs") ?? "").split(",")) {
    if (need in WHY_NOT) return { verdict: "skipped", why: WHY_NOT[need] };
  }
  const [, variant = "raw", stream = ""] = /^avf1?(?:\.([a-z0-9]+))?\/?(.*)$/.exec(expected.get("topic") ?? "avf1/");
  const reader = new StreamReader({ variant, stream: stream || null });
  const messages = readMessages(path);
  const differences = [];
  messages.forEach((parts, index) => {
    const got = reader.read(parts, index);
    const seen = { result: got.result === "drop" ? `drop:${got.code}` : got.result, state: reader.liveness.state(index).toLowerCase() };
    if (got.result === "frame") {
      seen.stream = got.message.stream;
      for (const field of FIELDS.slice(1)) seen[field] = String(got.message.header[field]);
      seen.sha256 = createHash("sha256").update(toRgba(got.message)).digest("hex");
    }
    for (const [key, value] of expected) {
      const [number, field] = key.split(".");
      if (Number(number) !== index || field === undefined) continue;
      const mine = field === "state" ? seen.state : seen[field];
      const right = field === "state" ? value.toLowerCase() : value;
      if (mine !== right) differences.push(`${key} is ${mine}, not ${right}${got.result === "drop" ? ` (${reader.lastError})` : ""}`);
    }
  });
  return differences.length ? { verdict: "failed", why: differences.join("; ") } : { verdict: "passed" };
}

function readExpectation(path) {
  const lines = readFileSync(path, "utf8").split("\n").filter((line) => line.includes("=") && !line.startsWith("#"));
  return new Map(lines.map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]));
}

function readMessages(path) {
  const messages = [];
  for (const file of readdirSync(path)) {
    const match = /^(\d+)\.(\d+)\.bin$/.exec(file);
    if (match) (messages[match[1]] ??= [])[match[2]] = new Uint8Array(readFileSync(join(path, file)));
  }
  return messages;
}
