// The planes of a frame: whether they are what its header says, and unpacked where that is LZ4. Knows no topic, and not
// what the planes look like (pixels.js); decoding JPEG is the browser's business. Twin: engine_bridge/avf/wire.py.

import { crc32 } from "./crc32.js";
import { checkJpeg } from "./jpeg.js";
import { decodeLz4 } from "./lz4.js";
import { BYTES_PER_PIXEL } from "./protocol.js";
import { MessageRejected } from "./rejected.js";

const MAX_FRAME_BYTES = 64 * 1024 * 1024;
const ROLE_OF_FORMAT = { rgba8: "rgba", bgra8: "rgba", rgb8: "rgb", a8: "a" };
const ENCODINGS_OF_ROLE = { rgba: ["raw", "lz4"], rgb: ["raw", "lz4", "jpeg"], a: ["raw", "lz4"] };

/** Bytes or JPEG of each plane of a frame, in the header's order. Throws MessageRejected and nothing else. */
export function readPlanes(header, payload) {
  const known = { f: Object.keys(BYTES_PER_PIXEL), cs: ["srgb", "linear"], am: ["straight", "premul", "opaque"], org: ["top", "bottom"] };
  for (const [key, values] of Object.entries(known)) {
    if (!values.includes(header[key])) throw new MessageRejected("format", `${key} is not one of ${values.join(", ")}`);
  }
  for (const { e, r } of header.pl) {
    if (!Object.hasOwn(ENCODINGS_OF_ROLE, r)) throw new MessageRejected("planes", `unknown role of a plane: ${r.slice(0, 32)}`);
    if (!ENCODINGS_OF_ROLE[r].includes(e)) {
      throw new MessageRejected("encoding", `a plane ${r} encoded as ${e.slice(0, 16)}, which this page cannot read`);
    }
  }
  const roles = header.pl.map((plane) => plane.r).join("+");
  const split = header.f === "rgba8" && roles === "rgb+a";
  if (roles !== ROLE_OF_FORMAT[header.f] && !split) throw new MessageRejected("planes", `${header.f} in the planes ${roles.slice(0, 32)}`);
  if (payload.length !== header.pl.length) {
    throw new MessageRejected("parts", `${payload.length} payload parts for ${header.pl.length} planes`);
  }
  const sizes = header.pl.map((plane, index) => planeBytes(header, plane, payload[index], split));
  if (Math.max(...sizes) > MAX_FRAME_BYTES) throw new MessageRejected("size", `more than ${MAX_FRAME_BYTES} bytes`);
  const planes = header.pl.map((plane, index) => readPlane(header, plane, payload[index], sizes[index]));
  if (header.crc !== null && header.pl[0].e !== "jpeg" && crc32(planes[0].bytes) !== header.crc) {
    throw new MessageRejected("crc", `frame ${header.id}: the pixels do not match their checksum`);
  }
  return planes;
}

/** Bytes of a decoded plane, after the lengths were compared. */
function planeBytes(header, plane, part, split) {
  const perPixel = { rgba: 4, rgb: 3, a: 1 }[plane.r];
  const packed = plane.e === "jpeg";
  let stride = header.w * perPixel;
  if (header.st !== null) {
    if (split || packed || header.st < stride) throw new MessageRejected("size", `rows of ${header.st} bytes are not possible here`);
    stride = header.st;
  }
  const bytes = stride * header.h;
  const onWire = plane.e === "raw" ? bytes : part.length;
  if (plane.n !== bytes || plane.z !== onWire || part.length !== onWire) {
    throw new MessageRejected(
      "size", `${header.w}x${header.h} needs ${bytes} bytes; announced are ${plane.n}, on the wire ${plane.z}, arrived ${part.length}`,
    );
  }
  return bytes;
}

function readPlane(header, plane, part, bytes) {
  if (plane.e === "jpeg") {
    checkJpeg(part, header.w, header.h);
    return { role: plane.r, jpeg: part };
  }
  if (plane.e === "raw") return { role: plane.r, bytes: part };
  const decoded = new Uint8Array(bytes);
  decodeLz4(part, decoded);
  return { role: plane.r, bytes: decoded };
}
