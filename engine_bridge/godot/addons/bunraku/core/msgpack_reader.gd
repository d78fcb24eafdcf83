# Reads one msgpack map of unknown origin. Knows bounds and shapes, not what a message means.
#
# A few bytes of msgpack can promise millions of elements or thousands of levels; every promise is checked before it is
# believed, and nothing recurses.

const Bytes = preload("bytes.gd")

const MAX_BYTES = 65536  # of one packed map
const MAX_MAP = 256  # keys of any map
const MAX_ARRAY = 1024
const MAX_ELEMENTS = 4096  # pairs of all maps and elements of all arrays together
const MAX_DEPTH = 4  # levels of maps and arrays, the outermost map being the first

var code = ""  # why the last map was rejected, a code of docs/protocol.md; empty if it was not
var why = ""  # the same for people

var _stream = null
var _elements = 0  # so far, of all containers
var _count = 0  # elements of the container that was just opened, -1 if the value is not a container


# An unsigned number of 2^63 or more, which no script has; `bits` are those of a signed one.
class BigUnsigned:
	var bits = 0


# The map in the bytes, or null: then `code` and `why` say what is wrong.
func read(bytes, max_keys: int):
	code = ""
	why = ""
	if bytes.size() > MAX_BYTES:
		return _reject("header_size", "a packed map of %d bytes, the limit is %d" % [bytes.size(), MAX_BYTES])
	_stream = StreamPeerBuffer.new()
	_stream.big_endian = true
	_stream.data_array = bytes
	_elements = 0
	var root = _read_tree()
	if code != "":
		return null
	if _left() > 0:
		return _reject("msgpack", "%d bytes after the map" % _left())
	if typeof(root[0]) != TYPE_DICTIONARY:
		return _reject("msgpack", "not a map")
	if root[0].size() > max_keys:
		return _reject("keys", "%d keys, the limit is %d" % [root[0].size(), max_keys])
	if root[1] > MAX_DEPTH:
		return _reject("depth", "maps and arrays nested deeper than %d" % MAX_DEPTH)
	return root[0]


# [the outermost value, levels of maps and arrays]
func _read_tree():
	var root = null
	var deepest = 0
	var open = []  # containers, outermost first: [container, elements still to come, key that waits for its value]
	while true:
		var parent = null if open.size() == 0 else open.back()
		if parent != null and typeof(parent[0]) == TYPE_DICTIONARY and parent[2] == null:
			parent[2] = _read_key()
			if code != "":
				return null
			continue
		var value = _read_value()
		if code != "":
			return null
		if parent == null:
			root = value
		elif typeof(parent[0]) == TYPE_DICTIONARY:
			parent[0][parent[2]] = value
			parent[2] = null
			parent[1] -= 1
		else:
			parent[0].append(value)
			parent[1] -= 1
		if _count >= 0:
			_elements += _count
			if _elements > MAX_ELEMENTS:
				return _reject("msgpack", "more than %d elements" % MAX_ELEMENTS)
			open.append([value, _count, null])
			deepest = max(deepest, open.size())
		while open.size() > 0 and open.back()[1] == 0:
			open.pop_back()
		if open.size() == 0:
			return [root, deepest]


func _read_key():
	if _left() > 0:
		var first = _stream.data_array[_stream.get_position()]
		if not (first >= 0xA0 and first <= 0xBF) and not (first >= 0xD9 and first <= 0xDB):
			return _reject("msgpack", "a map key that is not a string")
	return _read_value()


func _read_value():
	_count = -1
	if not _has(1):
		return null
	var first = _stream.get_u8()
	if first <= 0x7F:
		return first
	if first >= 0xE0:
		return first - 256
	if first <= 0x8F:
		return _open_map(first & 0x0F)
	if first <= 0x9F:
		return _open_array(first & 0x0F)
	if first <= 0xBF:
		return _read_text(first & 0x1F)
	if first == 0xC0:
		return null
	if first == 0xC2 or first == 0xC3:
		return first == 0xC3
	if first >= 0xCA and first <= 0xD3:
		return _read_number(first)
	if first >= 0xC4 and first <= 0xC6:
		return _read_raw(_read_length(first - 0xC4))
	if first >= 0xD9 and first <= 0xDB:
		return _read_text(_read_length(first - 0xD9))
	if first == 0xDC or first == 0xDD:
		return _open_array(_read_length(first - 0xDC + 1))
	if first == 0xDE or first == 0xDF:
		return _open_map(_read_length(first - 0xDE + 1))
	return _reject("msgpack", "an extension or unknown type, 0x%02x" % first)


func _read_number(first: int):
	var widths = {0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}
	if not _has(widths[first]):
		return null
	match first:
		0xCA:
			return _stream.get_float()
		0xCB:
			return _stream.get_double()
		0xCC:
			return _stream.get_u8()
		0xCD:
			return _stream.get_u16()
		0xCE:
			return _stream.get_u32()
		0xD0:
			return _stream.get_8()
		0xD1:
			return _stream.get_16()
		0xD2:
			return _stream.get_32()
		0xD3:
			return _stream.get_64()
	var bits = _stream.get_u64()
	if bits >= 0:
		return bits
	var big = BigUnsigned.new()
	big.bits = bits
	return big


# A length of 1, 2 or 4 bytes, by `power` 0, 1 or 2; -1 if the bytes end before it does.
func _read_length(power: int) -> int:
	if not _has(1 << power):
		return -1
	if power == 0:
		return _stream.get_u8()
	return _stream.get_u16() if power == 1 else _stream.get_u32()


func _read_raw(length: int):
	if length < 0 or not _has(length):
		return null
	return Bytes.empty() if length == 0 else _stream.get_data(length)[1]


func _read_text(length: int):
	var raw = _read_raw(length)
	if code != "":
		return null
	var text = Bytes.text_of(raw)
	return _reject("msgpack", "a text that is not UTF-8") if text == null else text


func _open_map(count: int):
	if count < 0:
		return null
	if count > MAX_MAP:
		return _reject("msgpack", "a map of %d keys, the limit is %d" % [count, MAX_MAP])
	_count = count
	return {}


func _open_array(count: int):
	if count < 0:
		return null
	if count > MAX_ARRAY:
		return _reject("msgpack", "an array of %d elements, the limit is %d" % [count, MAX_ARRAY])
	_count = count
	return []


func _left() -> int:
	return _stream.get_size() - _stream.get_position()


func _has(count: int) -> bool:
	if count <= _left():
		return true
	_reject("msgpack", "the bytes end in the middle of a value")
	return false


func _reject(new_code: String, text: String):
	code = new_code
	why = text
	return null
