// Bunraku's client for browsers: frames, controls and liveness of avf/1 (docs/protocol.md) over one WebSocket.
//
// No dependencies, and what reads bytes runs in Node too. These are the public names, to be imported from here: how the
// files in bunraku/ are cut is their own affair.

export { BunrakuClient } from "./bunraku/client.js";
export { packState, readControl } from "./bunraku/control.js";
export { LOST_AFTER_MS, Liveness, STALE_AFTER_MS } from "./bunraku/liveness.js";
export { decodeLz4 } from "./bunraku/lz4.js";
export { readMessage, splitTopic } from "./bunraku/message.js";
export { Float, pack, unpack } from "./bunraku/msgpack.js";
export { joinPart, splitParts } from "./bunraku/parts.js";
export { toRgba } from "./bunraku/pixels.js";
export { MAJOR } from "./bunraku/protocol.js";
export { StreamReader } from "./bunraku/reader.js";
export { MessageRejected } from "./bunraku/rejected.js";
export { Wanted } from "./bunraku/wanted.js";
