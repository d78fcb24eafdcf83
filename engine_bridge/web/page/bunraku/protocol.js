// The numbers of avf/1 (docs/protocol.md) that more than one file needs. What only one needs stands there.

export const MAJOR = 1;

export const MAX_PARTS = 8;
export const MAX_SIDE_PX = 8192;

export const BYTES_PER_PIXEL = { rgba8: 4, bgra8: 4, rgb8: 3, a8: 1 };
