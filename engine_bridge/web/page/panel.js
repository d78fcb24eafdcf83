// The page: what is shown, and what moves the character. Query: ui=0 (picture alone), bg (checker, transparent or a
// colour), stream, enc (raw, lz4, jpeg), token.

import { BunrakuClient, Wanted } from "./bunraku.js";
import { View } from "./view.js";

const query = new URLSearchParams(location.search);
const bare = query.get("ui") === "0";
const $ = (id) => document.getElementById(id);

const WORDS = {
  LIVE: "live", STALE: "waiting", LOST: "not connected", ERROR: "unreadable", INCOMPATIBLE: "other version",
};
const ADVICE = {
  STALE: "The character has paused",
  LOST: "No character is playing. It comes back by itself",
  ERROR: "What arrives cannot be read",
  INCOMPATIBLE: "The producer speaks another version. Reload this page, or update one of them",
};
const BACKGROUNDS = [["plain", "Plain", ""], ["checker", "Checker", ""], ["#00b140", "Green", "#00b140"], ["#000000", "Black", "#000000"], ["#ffffff", "White", "#ffffff"]];
const FIGURES_MS = 500;

const client = new BunrakuClient({
  stream: query.get("stream"),
  encoding: query.get("enc") ?? "auto",
  token: query.get("token"),
  name: bare ? "browser source" : "browser",
});

// -- the picture

let view = null;
try {
  view = new View($("picture"));
} catch (error) {
  $("notice").textContent = error.message;
}

function animate() {
  const frame = view && client.take();
  if (frame) {
    view.draw(frame);
    client.shown(frame);
  }
  requestAnimationFrame(animate);
}
requestAnimationFrame(animate);

function setBackground(name) {
  const stage = $("stage");
  const kind = ["plain", "checker"].includes(name) ? name : name === "transparent" ? "plain" : "colour";
  stage.dataset.background = kind;
  if (kind === "colour") stage.style.setProperty("--chosen", CSS.supports("color", name) ? name : "transparent");
  for (const button of $("backgrounds").children) button.setAttribute("aria-pressed", String(button.value === name));
}

// -- what is wanted

const wanted = new Wanted();

function send() {
  wanted.send(client);
  $("release").disabled = wanted.controls.size === 0;
}

// -- the panel

function buildChips(parent, items, onPress) {
  parent.replaceChildren(...items.map(({ value, label, hint }) => {
    const button = document.createElement("button");
    button.type = "button";
    button.value = value;
    button.textContent = label;
    button.setAttribute("aria-pressed", "false");
    if (hint) {
      const key = document.createElement("kbd");
      key.textContent = hint;
      button.append(key);
    }
    button.addEventListener("click", () => onPress(button));
    return button;
  }));
}

function pressExpression(button) {
  const on = button.getAttribute("aria-pressed") !== "true";
  for (const other of $("expressions").children) other.setAttribute("aria-pressed", String(on && other === button));
  wanted.express(on ? button.value : "");
  send();
}

function buildIdentity(info) {
  const select = $("identity");
  const options = [["", "as it is"], ...info.identities.map((name) => [`name ${name}`, name])];
  if (info.has_mapping) options.push(["seed", "by seed"]);
  select.replaceChildren(...options.map(([value, label]) => new Option(label, value)));
  const { identity } = wanted.others;
  select.value = typeof identity === "number" ? "seed" : identity ? `name ${identity}` : "";
  $("seed-label").hidden = select.value !== "seed";
  $("identity-section").hidden = options.length < 2;
}

function chooseIdentity() {
  const choice = $("identity").value;
  const seed = $("seed");
  $("seed-label").hidden = choice !== "seed";
  if (choice === "seed") {
    if (seed.value === "") seed.value = String(Math.floor(Math.random() * 10000));
    wanted.become(Math.min(Math.max(0, Math.floor(Number(seed.value) || 0)), Number.MAX_SAFE_INTEGER));
  } else if (choice) wanted.become(choice.slice("name ".length));
  else wanted.leaveIdentity();
  send();
}

// Twin of control_label in engine_bridge/labels.py.
function readable(name) {
  return name.replace(/([a-z])([A-Z])/g, "$1 $2").toLowerCase();
}

function buildControls(info) {
  const groups = Map.groupBy ? Map.groupBy(info.controls, (spec) => spec.group || "other") : groupBy(info.controls);
  const open = new Set([...document.querySelectorAll("details[open]")].map((details) => details.dataset.group));
  const first = open.size === 0;
  $("controls").replaceChildren(...[...groups].map(([group, specs], index) => {
    const details = document.createElement("details");
    const summary = document.createElement("summary");
    details.dataset.group = group;
    details.open = open.has(group) || (first && index === 0);
    summary.textContent = readable(group);
    details.append(summary, ...specs.map(buildSlider));
    return details;
  }));
  $("controls-section").hidden = info.controls.length === 0;
}

function groupBy(specs) {
  const groups = new Map();
  for (const spec of specs) groups.set(spec.group || "other", [...(groups.get(spec.group || "other") ?? []), spec]);
  return groups;
}

/** A slider leads its control from the first touch until it is released; before and after that, others may. */
function buildSlider({ name, minimum, maximum, rest }) {
  const row = document.createElement("div");
  row.className = "slider";
  const label = document.createElement("label");
  const output = document.createElement("output");
  const release = document.createElement("button");
  const input = document.createElement("input");
  const degrees = maximum - minimum > 4;
  const show = () => {
    output.textContent = degrees ? `${Math.round(input.value)}°` : Number(input.value).toFixed(2);
  };
  input.type = "range";
  input.id = `control-${name}`;
  input.min = minimum;
  input.max = maximum;
  input.step = degrees ? 0.5 : 0.01;
  input.value = wanted.controls.get(name) ?? rest;
  label.htmlFor = output.htmlFor = input.id;
  label.textContent = readable(name);
  release.type = "button";
  release.textContent = "×";
  release.title = "Release";
  release.setAttribute("aria-label", `Release ${readable(name)}`);
  row.classList.toggle("held", wanted.controls.has(name));
  input.addEventListener("input", () => {
    wanted.hold(name, Number(input.value));
    row.classList.add("held");
    show();
    send();
  });
  row.rest = () => {
    input.value = rest;
    row.classList.remove("held");
    show();
  };
  const letGo = () => {
    wanted.release(name);
    row.rest();
    send();
  };
  release.addEventListener("click", () => {
    letGo();
    input.focus();
  });
  input.addEventListener("dblclick", letGo);
  show();
  row.append(label, output, release, input);
  return row;
}

let built = ""; // what the panel was built from

function showInfo() {
  const { info } = client;
  if (!info) return;
  document.title = `${info.character} – Bunraku`;
  $("name").textContent = info.character;
  $("picture").setAttribute("aria-label", `${info.character}, live`);
  const described = JSON.stringify([info.expressions, info.identities, info.has_mapping, info.controls]);
  if (bare || described === built) return; // building again would take the slider out of the hand that moves it
  built = described;
  buildChips($("expressions"), info.expressions.map(({ name, hotkey }) => ({ value: name, label: name, hint: hotkey })), pressExpression);
  for (const button of $("expressions").children) button.setAttribute("aria-pressed", String(button.value === wanted.others.expression));
  $("expressions-section").hidden = info.expressions.length === 0;
  buildIdentity(info);
  buildControls(info);
}

// -- how it goes

function showState() {
  const { state } = client;
  document.body.dataset.link = state;
  $("state").dataset.state = state;
  $("state").textContent = WORDS[state];
  if (!view) return;
  const why = client.lastError && state !== "LIVE" ? client.lastError : ADVICE[state] ?? "";
  $("notice").textContent = why ? `${why.replace(/\.$/, "")}.` : "";
}

const milliseconds = (value) => (value === null ? "–" : `${value.toFixed(value < 10 ? 1 : 0)} ms`);
let shownBefore = 0;
let countedAt = performance.now();

function showFigures() {
  const now = performance.now();
  const fps = ((client.counts.shown - shownBefore) * 1000) / (now - countedAt);
  shownBefore = client.counts.shown;
  countedAt = now;
  $("fps").textContent = client.state === "LIVE" ? `${fps.toFixed(0)} /s` : "–";
  $("age").textContent = milliseconds(client.ages.percentile(50));
  $("reaction").textContent = milliseconds(client.motionToPhoton.percentile(50));
  $("round-trip").textContent = milliseconds(client.roundTrips.percentile(50));
  const frame = client.taken;
  const size = frame ? `${frame.width}×${frame.height} ${client.encoding}` : "";
  $("about").textContent = [size, frame?.header.eng || client.stats?.provider].filter(Boolean).join(" · ");
  const { provenance } = client;
  $("provenance").textContent = provenance
    ? [provenance.ai ? "AI-generated" : "Test picture", provenance.source, provenance.generator].filter(Boolean).join(" · ")
    : "";
}

// -- wiring

function toggleFold() {
  const folded = document.body.classList.toggle("folded");
  $("fold").setAttribute("aria-expanded", String(!folded));
}

function releaseAll() {
  wanted.releaseAll();
  for (const row of document.querySelectorAll(".slider")) row.rest();
  send();
}

function onKey(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || /^(INPUT|SELECT)$/.test(event.target.tagName)) return;
  if (event.key.toLowerCase() === "h") toggleFold();
  const expression = client.info?.expressions.find(({ hotkey }) => hotkey && hotkey === event.key);
  const button = [...$("expressions").children].find(({ value }) => value === expression?.name);
  if (button) pressExpression(button);
}

document.body.classList.toggle("bare", bare);
if (bare) setBackground(query.get("bg") ?? "transparent");
else {
  buildChips($("backgrounds"), BACKGROUNDS.map(([value, label, colour]) => ({ value, label: colour ? "" : label, name: label })), (button) => setBackground(button.value));
  for (const [value, label, colour] of BACKGROUNDS) {
    const button = [...$("backgrounds").children].find((one) => one.value === value);
    if (!colour) continue;
    button.className = "swatch";
    button.style.background = colour;
    button.setAttribute("aria-label", label);
    button.title = label;
  }
  setBackground(query.get("bg") ?? "plain");
  const alone = new URLSearchParams(query);
  alone.set("ui", "0");
  alone.delete("bg");
  $("alone").search = alone;
  $("identity").addEventListener("change", chooseIdentity);
  $("seed").addEventListener("change", chooseIdentity);
  $("release").addEventListener("click", releaseAll);
  $("neutral").addEventListener("click", () => {
    wanted.calibrate();
    send();
  });
  $("fold").addEventListener("click", toggleFold);
  document.addEventListener("keydown", onKey);
  setInterval(showFigures, FIGURES_MS);
}
window.bunraku = { client, view }; // for scripts of your own in this page
client.addEventListener("info", showInfo);
client.addEventListener("state", showState);
showState();
