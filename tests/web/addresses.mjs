// Where the client connects, for an address in the browser's bar or one that a page gives; prints it as JSON.
globalThis.WebSocket = class { constructor(url) { this.url = String(url); } close() {} };
const { BunrakuClient } = await import("../../engine_bridge/web/page/bunraku/client.js");

const found = [];
for (const href of process.argv.slice(2)) {
  globalThis.location = new URL(href);
  const client = new BunrakuClient();
  const given = new BunrakuClient({ address: href });
  found.push([client.socket.url, given.socket.url].map((url) => url.split("?")[0]));
  client.close();
  given.close();
}
console.log(JSON.stringify(found));
