# The frame channel of avf/1: message parts in, a checked record or a code of docs/protocol.md out. Knows no socket,
# clock or texture. Reads raw planes; the other encodings need the native client.

const Bytes = preload("bytes.gd")
const MsgpackReader = preload("msgpack_reader.gd")

const MAJOR = 1
const MAX_TOPIC_BYTES = 80
const MAX_STREAM_BYTES = 59
const MAX_VARIANT_BYTES = 8
const MAX_PARTS = 8
const MAX_KEYS = 64
const MAX_SIDE_PX = 8192
const MAX_PLANE_BYTES = 67108864

const BYTES_PER_PIXEL = {"rgba8": 4, "bgra8": 4, "rgb8": 3, "a8": 1}
const WHOLE_ROLES = {"rgba8": "rgba", "bgra8": "rgba", "rgb8": "rgb", "a8": "a"}
const ROLES = ["rgba", "rgb", "a"]
const COLOUR_SPACES = ["srgb", "linear"]
const ALPHA_MODES = ["straight", "premul", "opaque"]
const ORIGINS = ["top", "bottom"]

# Known keys: [type, needed]. A type that ends in ? may be nil.
const COMMON = {"v": ["u8", true], "ses": ["u64", true], "id": ["u64", true], "off": ["i64?", false]}
const FRAME = {
	"w": ["side", true],
	"h": ["side", true],
	"f": ["str", true],
	"pl": ["array", true],
	"st": ["u64?", false],
	"cs": ["str", false],
	"am": ["str", false],
	"org": ["str", false],
	"tc": ["i64", false],
	"tr": ["i64", false],
	"tp": ["i64", false],
	"ca": ["u64", false],
	"ct": ["i64", false],
	"eng": ["str", false],
	"key": ["bool", false],
	"roi": ["array?", false],
	"crc": ["u32?", false],
}
const PLANE = {
	"e": ["str", true],
	"r": ["str", true],
	"n": ["u64", true],
	"z": ["u64", true],
	"name": ["str", false],
	"slot": ["u16", false],
	"seq": ["u64", false],
}
const HEARTBEAT = {
	"n": ["u64", false], "ctl": ["str", false], "enc": ["array?", false], "shm": ["str?", false], "stats": ["map?", false]
}
const PROVENANCE = {
	"ai": ["bool", false], "model": ["str", false], "generator": ["str", false], "source": ["str", false]
}
const STATS = {
	"provider": ["str", false],
	"engine_note": ["str", false],
	"driver": ["str", false],
	"engine_ms_p50": ["float", false],
	"engine_ms_p99": ["float", false],
	"fps": ["float", false],
	"target_fps": ["float", false],
	"dropped": ["i64", false],
	"subscribers": ["i64", false],
	"motion_to_photon_ms": ["float?", false],
	"frame_age_ms_p50": ["float?", false],
}
const DEFAULTS = {
	"f":
	{
		"st": null,
		"cs": "srgb",
		"am": "straight",
		"org": "top",
		"tc": 0,
		"tr": 0,
		"tp": 0,
		"ca": 0,
		"ct": 0,
		"eng": "",
		"roi": null,
		"crc": null
	},
	"h": {"n": 0, "ctl": "", "stats": null},
	"b": {},
}

var code = ""  # why the last message was rejected, empty if it was not
var why = ""  # the same for people
var major = 0  # of the last topic that was one
var variant = ""
var stream = ""

var _reader = MsgpackReader.new()


# Takes a topic apart into `major`, `variant` and `stream`. False if it is not a topic; then `code` says so.
func read_topic(topic) -> bool:
	code = ""
	why = ""
	var text = Bytes.text_of(topic) if topic.size() <= MAX_TOPIC_BYTES else null
	if text == null or not _split_topic(text):
		_reject("topic", "the topic is not avf<major>/<stream>")
		return false
	return true


# One message of the frame channel, parts in order.
#
# Returns a Dictionary of the header's keys with their defaults filled in, `stream` and, for a frame, `payload` (the
# planes as they came) and `stride` (bytes per row of a single plane). Numbers of 2^63 and more have the bits of a
# negative one. Returns null if the message cannot be used; then `code` and `why` say what is wrong with it.
func read(parts):
	code = ""
	why = ""
	if parts.size() < 2 or parts.size() > MAX_PARTS:
		return _reject("parts", "a message of %d parts; 2 to %d are possible" % [parts.size(), MAX_PARTS])
	if not read_topic(parts[0]):
		return null
	if major != MAJOR:
		return _reject("version", "the producer speaks avf/%d, this client avf/%d" % [major, MAJOR])
	var header = _reader.read(parts[1], MAX_KEYS)
	if header == null:
		return _reject(_reader.code, _reader.why)
	var kind = header.get("k")
	if typeof(kind) != TYPE_STRING or not DEFAULTS.has(kind):
		return _reject("kind", "unknown kind of message")
	if kind != "f" and parts.size() != 2:
		return _reject("parts", "%d payload parts where none belong" % (parts.size() - 2))
	if not _check_header(header, kind):
		return null
	var message = DEFAULTS[kind].duplicate()
	for key in header:
		message[key] = header[key].bits if typeof(header[key]) == TYPE_OBJECT else header[key]
	message["stream"] = stream
	if kind == "f" and not _check_frame(message, parts):
		return null
	return message


func _split_topic(text: String) -> bool:
	var slash = text.find("/")
	if not text.begins_with("avf") or slash < 4:
		return false
	var family = text.substr(3, slash - 3)
	var name = text.substr(slash + 1, text.length() - slash - 1)
	var dot = family.find(".")
	var label = "" if dot < 0 else family.substr(dot + 1, family.length() - dot - 1)
	var number = family if dot < 0 else family.substr(0, dot)
	if not _consists_of(number, "0123456789", 5):
		return false
	if dot >= 0 and not _consists_of(label, "abcdefghijklmnopqrstuvwxyz0123456789", MAX_VARIANT_BYTES):
		return false
	var letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
	if not _consists_of(name, letters, MAX_STREAM_BYTES):
		return false
	major = int(number)
	variant = label
	stream = name
	return true


func _consists_of(text: String, letters: String, most: int) -> bool:
	if text.length() < 1 or text.length() > most:
		return false
	for i in range(text.length()):
		if letters.find(text[i]) < 0:
			return false
	return true


func _check_header(header, kind: String) -> bool:
	if not _fits_all(header, COMMON, "header"):
		return false
	if header.get("prov") != null and not _is_map_of(header["prov"], PROVENANCE, "prov"):
		return false
	if kind == "h":
		return _check_heartbeat(header)
	if kind == "f":
		if not _fits_all(header, FRAME, "header"):
			return false
		for plane in header["pl"]:
			if not _is_map_of(plane, PLANE, "pl"):
				return false
		return _are_all(header.get("roi"), "u16", "roi")
	return true


func _check_heartbeat(header) -> bool:
	if not _fits_all(header, HEARTBEAT, "header") or not _are_all(header.get("enc"), "str", "enc"):
		return false
	if header.get("stats") == null:
		return true
	if not _is_map_of(header["stats"], STATS, "stats"):
		return false
	for key in STATS:
		var value = header["stats"].get(key)
		if typeof(value) == typeof(0.0) and (is_nan(value) or is_inf(value)):
			_reject("number", "stats: %s is not finite" % key)
			return false
	return true


func _check_frame(message, parts) -> bool:
	for choice in [["f", BYTES_PER_PIXEL.keys()], ["cs", COLOUR_SPACES], ["am", ALPHA_MODES], ["org", ORIGINS]]:
		if not choice[1].has(message[choice[0]]):
			return _refuse("format", "%s is not one of %s" % [choice[0], choice[1]])
	var roles = []
	for plane in message["pl"]:
		if not ROLES.has(plane["r"]):
			return _refuse("planes", "unknown role of a plane")
		if plane["e"] != "raw":
			return _refuse("encoding", "a plane is not raw; the native client reads the other encodings")
		roles.append(plane["r"])
	var is_whole = roles == [WHOLE_ROLES[message["f"]]]
	if not is_whole and not (message["f"] == "rgba8" and roles == ["rgb", "a"]):
		return _refuse("planes", "%s cannot come in the planes %s" % [message["f"], roles])
	if parts.size() != 2 + roles.size():
		return _refuse("parts", "%d payload parts for %d planes" % [parts.size() - 2, roles.size()])
	if not is_whole and message["st"] != null:
		return _refuse("size", "a stride where rows have no gap")
	message["payload"] = []
	for i in range(roles.size()):
		if not _check_size(message, message["pl"][i], parts[2 + i]):
			return false
		message["payload"].append(parts[2 + i])
	if message["crc"] != null and Bytes.crc32(parts[2]) != message["crc"]:
		return _refuse("crc", "the pixels do not match their checksum")
	return true


func _check_size(message, plane, part) -> bool:
	var row = message["w"] * plane["r"].length()
	var stride = row if message["st"] == null else message["st"]
	var size = stride * message["h"]
	var arrived = part.size()
	var announced = typeof(plane["n"]) == TYPE_INT and size == plane["n"] and typeof(plane["z"]) == TYPE_INT
	if stride < row or stride > MAX_PLANE_BYTES or not announced or size != plane["z"] or size != arrived:
		return _refuse(
			"size",
			"%dx%d %s needs %d bytes, %d arrived" % [message["w"], message["h"], plane["r"], size, arrived]
		)
	if arrived > MAX_PLANE_BYTES:
		return _refuse("size", "%d bytes, the limit is %d" % [arrived, MAX_PLANE_BYTES])
	message["stride"] = stride
	return true


func _is_map_of(value, known, name: String) -> bool:
	if typeof(value) != TYPE_DICTIONARY:
		return _refuse("header", "%s is not a map" % name)
	return _fits_all(value, known, name)


func _are_all(values, type: String, name: String) -> bool:
	if values == null:
		return true
	for value in values:
		if not _fits(value, type):
			return _refuse("header", "%s holds something else than %s" % [name, type])
	return true


func _fits_all(header, known, name: String) -> bool:
	for key in known:
		if not header.has(key):
			if known[key][1]:
				return _refuse("header", "%s lacks %s" % [name, key])
		elif not _fits(header[key], known[key][0]):
			return _refuse("header", "%s: %s is not of type %s" % [name, key, known[key][0]])
	return true


func _fits(value, type: String) -> bool:
	if type.ends_with("?"):
		return value == null or _fits(value, type.substr(0, type.length() - 1))
	var is_int = typeof(value) == TYPE_INT
	match type:
		"str":
			return typeof(value) == TYPE_STRING
		"bool":
			return typeof(value) == TYPE_BOOL
		"array":
			return typeof(value) == TYPE_ARRAY
		"map":
			return typeof(value) == TYPE_DICTIONARY
		"u8":
			return is_int and value >= 0 and value <= 0xFF
		"u16":
			return is_int and value >= 0 and value <= 0xFFFF
		"u32":
			return is_int and value >= 0 and value <= 0xFFFFFFFF
		"u64":
			return typeof(value) == TYPE_OBJECT or (is_int and value >= 0)
		"i64":
			return is_int
		"side":
			return is_int and value >= 1 and value <= MAX_SIDE_PX
	return is_int or typeof(value) == TYPE_OBJECT or typeof(value) == typeof(0.0)


func _refuse(new_code: String, text: String) -> bool:
	_reject(new_code, text)
	return false


func _reject(new_code: String, text: String):
	code = new_code
	why = text
	return null
