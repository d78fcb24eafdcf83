# Packs plain values: null, bool, int, float, String, byte array, Array, Dictionary with string keys.

const Bytes = preload("bytes.gd")


# The bytes of a value. Numbers take the shortest form, floats always eight bytes.
static func pack(value):
	var stream = StreamPeerBuffer.new()
	stream.big_endian = true
	_put(stream, value)
	return stream.data_array


static func _put(stream, value) -> void:
	match typeof(value):
		TYPE_NIL:
			stream.put_u8(0xC0)
		TYPE_BOOL:
			stream.put_u8(0xC3 if value else 0xC2)
		TYPE_INT:
			_put_int(stream, value)
		TYPE_STRING:
			_put_text(stream, value)
		TYPE_ARRAY:
			_put_head(stream, value.size(), 0x90, 0xDC)
			for item in value:
				_put(stream, item)
		TYPE_DICTIONARY:
			_put_head(stream, value.size(), 0x80, 0xDE)
			for key in value:
				_put_text(stream, str(key))
				_put(stream, value[key])
		_:
			if typeof(value) == typeof(0.0):
				stream.put_u8(0xCB)
				stream.put_double(value)
			else:
				_put_raw(stream, value)


static func _put_int(stream, value: int) -> void:
	if value >= 0 and value <= 0x7F:
		stream.put_u8(value)
	elif value < 0 and value >= -32:
		stream.put_u8(value + 256)
	elif value >= 0 and value <= 0xFFFF:
		stream.put_u8(0xCD)
		stream.put_u16(value)
	elif value >= 0 and value <= 0xFFFFFFFF:
		stream.put_u8(0xCE)
		stream.put_u32(value)
	else:
		stream.put_u8(0xD3)
		stream.put_64(value)


static func _put_text(stream, text) -> void:
	var raw = Bytes.utf8(text)
	if raw.size() <= 31:
		stream.put_u8(0xA0 | raw.size())
	else:
		stream.put_u8(0xDA)
		stream.put_u16(raw.size())
	stream.put_data(raw)


static func _put_raw(stream, raw) -> void:
	stream.put_u8(0xC6)
	stream.put_u32(raw.size())
	stream.put_data(raw)


static func _put_head(stream, count: int, short_form: int, long_form: int) -> void:
	if count <= 15:
		stream.put_u8(short_form | count)
	else:
		stream.put_u8(long_form)
		stream.put_u16(count)
