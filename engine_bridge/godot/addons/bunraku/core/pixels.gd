# Brings pixels of the wire into RGBA8, row 0 on top, sRGB-encoded, straight alpha.
#
# What Bunraku sends is of this kind already and is handed on untouched. The other formats of avf/1 are converted pixel
# by pixel in script, which is right but slow (see docs/godot.md); the native client does it in native code.

const Bytes = preload("bytes.gd")
const AvfMessage = preload("avf_message.gd")


# The picture of a frame that AvfMessage.read() let through: width * height * 4 bytes.
static func rgba_of(frame):
	var plain = frame["f"] == "rgba8" and frame["cs"] == "srgb" and frame["am"] == "straight"
	var row = frame["w"] * AvfMessage.BYTES_PER_PIXEL[frame["f"]]
	var from_top = frame["org"] == "top"
	var whole = frame["payload"][0]
	var stride = frame["stride"]
	if frame["payload"].size() == 2:
		whole = _interleaved(whole, frame["payload"][1])
		stride = row
	if plain and from_top and stride == row:
		return whole
	var rows = _upright(whole, frame["h"], stride, row, from_top)
	return rows if plain else _converted(rows, frame["f"], frame["cs"] == "linear", frame["am"])


# Colours and alpha as one plane.
static func _interleaved(rgb, alpha):
	var rgba = Bytes.empty()
	rgba.resize(alpha.size() * 4)
	for i in range(alpha.size()):
		rgba[4 * i] = rgb[3 * i]
		rgba[4 * i + 1] = rgb[3 * i + 1]
		rgba[4 * i + 2] = rgb[3 * i + 2]
		rgba[4 * i + 3] = alpha[i]
	return rgba


# Rows of `row` bytes without gaps, the topmost first.
static func _upright(bytes, height: int, stride: int, row: int, from_top: bool):
	var rows = Bytes.empty()
	for y in range(height):
		rows.append_array(Bytes.part(bytes, (y if from_top else height - 1 - y) * stride, row))
	return rows


static func _converted(bytes, format: String, is_linear: bool, alpha_mode: String):
	var step = AvfMessage.BYTES_PER_PIXEL[format]
	var table = _srgb_from_linear() if is_linear else null
	var rgba = Bytes.empty()
	rgba.resize(bytes.size() / step * 4)
	var to = 0
	for from in range(0, bytes.size(), step):
		var red = 255
		var green = 255
		var blue = 255
		var alpha = 255
		if format == "a8":
			alpha = bytes[from]
		else:
			red = bytes[from + 2] if format == "bgra8" else bytes[from]
			green = bytes[from + 1]
			blue = bytes[from] if format == "bgra8" else bytes[from + 2]
			if step == 4:
				alpha = bytes[from + 3]
		if alpha_mode == "opaque":
			alpha = 255
		elif alpha_mode == "premul":
			red = _straight(red, alpha)
			green = _straight(green, alpha)
			blue = _straight(blue, alpha)
		rgba[to] = table[red] if is_linear else red
		rgba[to + 1] = table[green] if is_linear else green
		rgba[to + 2] = table[blue] if is_linear else blue
		rgba[to + 3] = alpha
		to += 4
	return rgba


static func _straight(value: int, alpha: int) -> int:
	return int(min((value * 255 + alpha / 2) / max(alpha, 1), 255))


# The transfer function of IEC 61966-2-1 for the 256 values that a byte can hold.
static func _srgb_from_linear():
	var table = []
	for value in range(256):
		var linear = value / 255.0
		var encoded = 12.92 * linear if linear <= 0.0031308 else 1.055 * pow(linear, 1 / 2.4) - 0.055
		table.append(int(floor(encoded * 255.0 + 0.5)))
	return table
