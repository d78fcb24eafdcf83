// The parts of a message in one binary message of the relay's WebSocket, and back. Knows nothing of what the parts are.

/** Split a binary message of the relay into its parts; null if the lengths do not fill it exactly. */
export function splitParts(buffer) {
  const bytes = new Uint8Array(buffer);
  const view = new DataView(buffer);
  const count = bytes.length ? bytes[0] : 0;
  let from = 1 + 4 * count;
  if (from > bytes.length) return null;
  const parts = [];
  for (let i = 0; i < count; i++) {
    const length = view.getUint32(1 + 4 * i, true);
    if (length > bytes.length - from) return null;
    parts.push(bytes.subarray(from, from + length));
    from += length;
  }
  return from === bytes.length ? parts : null;
}

/** One part as a binary message for the relay. */
export function joinPart(part) {
  const bytes = new Uint8Array(5 + part.length);
  bytes[0] = 1;
  new DataView(bytes.buffer).setUint32(1, part.length, true);
  bytes.set(part, 5);
  return bytes;
}
