// A character on a stream says a line and looks at the player. Served from anywhere; the relay must name this origin.
// Query: relay (http://127.0.0.1:5762), stream (npc), token.

import { Speech } from "./speech.js";

const query = new URLSearchParams(location.search);
const relay = query.get("relay") ?? "http://127.0.0.1:5762";
const $ = (id) => document.getElementById(id);
const GAZE_DEGREES = 30;
const STEP = 0.05;

const player = { right: 0.25, away: 0.6 }; // on the plane before her, as shares of its half width and its depth
let speech = null;
let begun = 0;
let mood = null; // said with every state: one that is overtaken on its way must not leave her in the mood before

async function start() {
  let BunrakuClient, View;
  try {
    ({ BunrakuClient } = await import(`${relay}/bunraku.js`));
    ({ View } = await import(`${relay}/view.js`));
  } catch {
    const command = `bunraku live --stream npc --web ${new URL(relay).host} --web-origin ${location.origin}`;
    $("notice").textContent = `Start her first: ${command}. Then reload.`;
    return;
  }
  const client = new BunrakuClient({ address: relay, stream: query.get("stream") ?? "npc", token: query.get("token"), name: "npc" });
  const view = new View($("picture"));
  client.addEventListener("state", () => {
    $("notice").textContent = client.state === "LIVE" ? "" : client.lastError || "She is not here. She comes back by herself.";
  });

  function animate(now) {
    const frame = client.take();
    if (frame) {
      view.draw(frame);
      client.shown(frame);
    }
    if (client.info) act(client, now);
    requestAnimationFrame(animate);
  }
  requestAnimationFrame(animate);
}

let lastSent = "";

/** Send what she should do now, if it is something new. */
function act(client, now) {
  // She faces the player, so what is to the player's right is to her left: positive yaw.
  const angle = (Math.atan2(player.right, player.away) * 180) / Math.PI;
  const gazeYaw = Math.max(-GAZE_DEGREES, Math.min(GAZE_DEGREES, angle));
  const wanted = { controls: { gazeYaw, headYaw: gazeYaw / 3 } };
  if (speech) {
    const { mouth, expression } = speech.at(now - begun);
    Object.assign(wanted.controls, mouth);
    mood = expression ?? mood;
  }
  if (mood !== null) wanted.expression = mood;
  const known = new Set(client.info.controls.map(({ name }) => name));
  wanted.controls = Object.fromEntries(Object.entries(wanted.controls).filter(([name]) => known.has(name)));
  if (!client.info.expressions.some(({ name }) => name === wanted.expression) && wanted.expression) delete wanted.expression;
  const packed = JSON.stringify(wanted);
  if (packed !== lastSent) client.set(wanted);
  lastSent = packed;
  if (speech && now - begun > speech.overMs) speech = null;
}

function place() {
  $("you").style.left = `${50 + 50 * player.right}%`;
  $("you").style.top = `${14 + 86 * player.away}%`;
}

function walk(right, away) {
  player.right = Math.max(-0.97, Math.min(0.97, right));
  player.away = Math.max(0.1, Math.min(0.9, away));
  place();
}

$("ground").addEventListener("pointermove", (event) => {
  if (event.buttons === 0 && event.pointerType !== "mouse") return;
  const box = $("ground").getBoundingClientRect();
  walk(((event.clientX - box.left) / box.width) * 2 - 1, (event.clientY - box.top) / box.height);
});
$("ground").addEventListener("keydown", (event) => {
  const steps = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };
  const step = steps[event.key];
  if (!step) return;
  event.preventDefault();
  walk(player.right + step[0], player.away + step[1]);
});
$("say").addEventListener("submit", (event) => {
  event.preventDefault();
  speech = new Speech($("line").value);
  begun = performance.now();
});
place();
start();
