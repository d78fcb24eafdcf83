# Byte arrays by one set of words: Godot 3 calls the type PoolByteArray and copies it when it is handed on, Godot 4
# calls it PackedByteArray and shares it. Everything in this folder runs in both.


# An empty byte array.
static func empty():
	return StreamPeerBuffer.new().data_array


# The bytes of a text.
static func utf8(text):
	if Engine.get_version_info()["major"] >= 4:
		return text.to_utf8_buffer()
	return text.to_utf8()


# A copy of `count` bytes beginning at `from`; the caller has checked that they are there.
static func part(bytes, from: int, count: int):
	if count == 0:
		return empty()
	if Engine.get_version_info()["major"] >= 4:
		return bytes.slice(from, from + count)
	return bytes.subarray(from, from + count - 1)


# The text that bytes are in UTF-8, or null if they are not valid UTF-8.
#
# Checked here because both engines replace bad bytes, or print about them, instead of telling. A NUL, at which they
# would end the text, becomes U+FFFD, so that no name can pass for a shorter one.
static func text_of(bytes):
	var plain = true
	var following = 0
	var lowest = 0x80
	var highest = 0xBF
	for byte in bytes:
		if following > 0:
			if byte < lowest or byte > highest:
				return null
			following -= 1
			lowest = 0x80
			highest = 0xBF
		elif byte < 0x80:
			if byte == 0:
				plain = false
		elif byte >= 0xC2 and byte <= 0xDF:
			following = 1
		elif byte >= 0xE0 and byte <= 0xEF:
			following = 2
			lowest = 0xA0 if byte == 0xE0 else 0x80  # nothing longer than it need be
			highest = 0x9F if byte == 0xED else 0xBF  # no surrogates
		elif byte >= 0xF0 and byte <= 0xF4:
			following = 3
			lowest = 0x90 if byte == 0xF0 else 0x80
			highest = 0x8F if byte == 0xF4 else 0xBF  # nothing above U+10FFFF
		else:
			return null
	if following > 0:
		return null
	return bytes.get_string_from_utf8() if plain else _without_nul(bytes)


static func _without_nul(bytes):
	var replaced = empty()
	for byte in bytes:
		if byte == 0:
			replaced.append(0xEF)
			replaced.append(0xBF)
			replaced.append(0xBD)
		else:
			replaced.append(byte)
	return replaced.get_string_from_utf8()


# CRC-32 (zlib) of bytes. Both engines know it only as the last but four bytes of a gzip file; a loop of our own would
# take a quarter of a second for a picture of 512 x 512.
static func crc32(bytes) -> int:
	var gzip = 3
	var file = bytes.compress(gzip)
	var trailer = StreamPeerBuffer.new()
	trailer.data_array = file
	trailer.seek(file.size() - 8)
	return trailer.get_u32()
