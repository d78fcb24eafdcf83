// Compares the talking NPC's mouth with the conformance kit: node tests/web/speech.mjs [speech.txt]

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { Speech, VISEMES } from "../../examples/20_talking_npc/browser/speech.js";

const path = process.argv[2] ?? fileURLToPath(new URL("../../assets/conformance/v1/speech.txt", import.meta.url));
const ROUNDING = 0.000051; // the kit has four decimals
let speech = null;
let lines = 0;
const differences = [];
for (const line of readFileSync(path, "utf8").split("\n").filter(Boolean)) {
  if (line.startsWith("text=")) {
    speech = new Speech(line.slice(5).replaceAll("\\t", "\t").replaceAll("\\n", "\n"));
    continue;
  }
  const [time, ...rest] = line.split(" ");
  const { mouth, expression } = speech.at(Number(time));
  const word = expression === null ? "-" : expression || "~";
  const same = VISEMES.every((viseme, index) => Math.abs(mouth[viseme] - Number(rest[index])) < ROUNDING) && word === rest[5];
  if (!same) differences.push(`${line} | ${VISEMES.map((viseme) => mouth[viseme].toFixed(4)).join(" ")} ${word}`);
  lines += 1;
}
for (const difference of differences.slice(0, 20)) console.log(difference);
console.log(JSON.stringify({ lines, differences: differences.length }));
process.exitCode = differences.length || !lines ? 1 : 0;
