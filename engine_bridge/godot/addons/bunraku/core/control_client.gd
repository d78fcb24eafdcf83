# Sends absolute control states to a producer; only the newest one waits. Knows no node; time is an argument.
#
# Twin of engine_bridge/client/control_client.py without its thread: call tick() on every frame of the game.

const Link = preload("link.gd")
const Liveness = preload("liveness.gd")
const MsgpackReader = preload("msgpack_reader.gd")
const MsgpackWriter = preload("msgpack_writer.gd")

const MAJOR = 1
const MAX_CONTROL_BYTES = 1048576
const MAX_SIDE_PX = 8192
const KEEP_IN_TOUCH_NS = 500000000
const AFTER_REFUSAL_NS = 10000000000  # pause before asking a producer of another version again
const MESSAGES_PER_TICK = 32
const STATES_REMEMBERED = 256

var info = null  # what the stream shows and takes, null until the producer has welcomed this client
var last_refusal = ""  # code and reason of the last refusal, empty if there was none
var refused = 0
var sent = 0  # states handed to the connection
var bad = {}  # rejected messages of the producer, by code

var _link
var _liveness = Liveness.new()
var _reader = MsgpackReader.new()
var _name = ""
var _pending = {}  # what waits to be sent, one of a kind: set, stat, req
var _touch = null  # the hello or ping that waits
var _last_state = null
var _last_id = 0
var _sent_ns = {}  # cid -> ts of the last states
var _next_touch_ns = 0
var _refusals = 0


# `place` from Link.split_endpoint(); `client_name` is told to the producer, for its log.
func _init(place, client_name):
	_name = client_name
	_link = Link.new(place, "DEALER", ["ROUTER"], MAX_CONTROL_BYTES, 1)


# Says hello or ping when it is time, sends what waits, reads what has come.
func tick(now_ns: int) -> void:
	if _link.tick(now_ns):
		_next_touch_ns = now_ns
		info = null
		if _last_state != null:
			_repeat_state(now_ns)
	if _link.failures > _refusals:
		_refusals = _link.failures
		_link.pause(now_ns, _liveness.refused(now_ns))
	for _i in range(MESSAGES_PER_TICK):
		var parts = _link.receive()
		if parts == null:
			break
		var pause_ns = _take_in(parts, now_ns)
		if pause_ns > 0:
			_link.pause(now_ns, pause_ns)
			return
	_keep_in_touch(now_ns)
	_send_pending()


# Sends a state as soon as possible, instead of any that still waits. `wanted` holds keys of a `set` (docs/protocol.md):
# ex, who, mix, psi, emo, cal. Returns its number, or 0 if it holds a number that is not finite.
func send(wanted, now_ns: int) -> int:
	if not _is_finite(wanted):
		return 0
	var waiting = _pending.get("set")
	_last_id += 1
	_last_state = wanted.duplicate(true)
	_last_state["k"] = "set"
	_last_state["cid"] = _last_id
	_last_state["ts"] = now_ns
	if waiting != null and waiting.get("cal", false):
		_last_state["cal"] = true
	_pending["set"] = _last_state
	_remember(_last_id, now_ns)
	return _last_id


# Tells the producer what becomes of its frames; once per second is right.
func report(numbers) -> void:
	var message = numbers.duplicate()
	message["k"] = "stat"
	_pending["stat"] = message


# Asks for the last frame to be published once more.
func request_last_frame() -> void:
	_pending["req"] = {"k": "req", "what": "last"}


# Nanoseconds from sending the state that a frame shows until now, null if the state was not ours.
func motion_to_photon_ns(frame, now_ns: int):
	var sent_ns = _sent_ns.get(frame["ca"])
	return null if sent_ns == null or sent_ns != frame["ct"] else now_ns - frame["ct"]


# One of the states of Liveness.
func state(now_ns: int) -> int:
	return _liveness.state(now_ns)


# Why there is no connection, empty if there never was a reason.
func failure() -> String:
	return _link.failure


# Stops; harmless when repeated. What still waits is not sent.
func close() -> void:
	_link.close()


func _keep_in_touch(now_ns: int) -> void:
	if now_ns < _next_touch_ns or not _link.is_open:
		return
	_next_touch_ns = now_ns + KEEP_IN_TOUCH_NS
	if _liveness.state(now_ns) == Liveness.INCOMPATIBLE:
		_next_touch_ns = now_ns + AFTER_REFUSAL_NS
		_pending = {}
	if info == null:
		_touch = {"k": "hello", "proto": [MAJOR], "v": 0, "name": _name, "caps": ["raw"]}
	else:
		_touch = {"k": "ping", "t": now_ns}


func _send_pending() -> void:
	if _touch != null and _link.is_idle():
		_link.send(MsgpackWriter.pack(_touch))
		_touch = null
	if info == null:
		return
	for kind in _pending.keys():
		if not _link.is_idle():
			return
		_link.send(MsgpackWriter.pack(_pending[kind]))
		_pending.erase(kind)
		if kind == "set":
			sent += 1


func _take_in(parts, now_ns: int) -> int:
	var code = _read(parts, now_ns)
	if code == "":
		return 0
	bad[code] = bad.get(code, 0) + 1
	if code == "version":
		_note_incompatible(now_ns)
		return 0
	return _liveness.bad(now_ns)


# Reads one message of the producer; the code of what is wrong with it, empty if nothing is.
func _read(parts, now_ns: int) -> String:
	if parts.size() != 1:
		return "parts"
	var message = _reader.read(parts[0], MsgpackReader.MAX_MAP)
	if message == null:
		return _reader.code
	match message.get("k"):
		"welcome":
			return _read_welcome(message, now_ns)
		"refuse":
			return _read_refusal(message, now_ns)
		"pong":
			return _read_pong(message, now_ns)
	return "kind"


func _read_welcome(message, now_ns: int) -> String:
	var told = message.get("info")
	if typeof(message.get("proto")) != TYPE_INT or not _is_session(message.get("ses")) or not _is_info(told):
		return "header"
	if message["proto"] != MAJOR:
		return "version"
	if told["width"] < 1 or told["width"] > MAX_SIDE_PX or told["height"] < 1 or told["height"] > MAX_SIDE_PX:
		return "size"
	if not _is_number(told["fps"]) or told["fps"] < 0:
		return "number"
	for control in told["controls"]:
		var is_range = _is_number(control["minimum"]) and _is_number(control["rest"]) and _is_number(control["maximum"])
		if not is_range or control["minimum"] > control["rest"] or control["rest"] > control["maximum"]:
			return "number"
	_liveness.good(now_ns)
	info = told
	info["session"] = _bits(message["ses"])
	return ""


func _is_info(told) -> bool:
	if typeof(told) != TYPE_DICTIONARY or typeof(told.get("controls")) != TYPE_ARRAY:
		return false
	for key in ["width", "height"]:
		if typeof(told.get(key)) != TYPE_INT:
			return false
	for key in ["stream", "character"]:
		if typeof(told.get(key)) != TYPE_STRING:
			return false
	if typeof(told.get("fps")) != TYPE_INT and typeof(told.get("fps")) != typeof(0.0):
		return false
	for control in told["controls"]:
		if typeof(control) != TYPE_DICTIONARY or typeof(control.get("name")) != TYPE_STRING:
			return false
		for key in ["minimum", "maximum", "rest"]:
			if typeof(control.get(key)) != TYPE_INT and typeof(control.get(key)) != typeof(0.0):
				return false
	return _are_texts(told.get("identities", [])) and _are_named(told.get("expressions", []))


func _are_texts(values) -> bool:
	if typeof(values) != TYPE_ARRAY:
		return false
	for value in values:
		if typeof(value) != TYPE_STRING:
			return false
	return true


func _are_named(values) -> bool:
	if typeof(values) != TYPE_ARRAY:
		return false
	for value in values:
		if typeof(value) != TYPE_DICTIONARY or typeof(value.get("name")) != TYPE_STRING:
			return false
	return true


func _read_refusal(message, now_ns: int) -> String:
	if typeof(message.get("code")) != TYPE_STRING or typeof(message.get("text")) != TYPE_STRING:
		return "header"
	refused += 1
	last_refusal = "%s: %s" % [message["code"], message["text"]]
	if message["code"] == "version":
		_note_incompatible(now_ns)
	else:
		_liveness.good(now_ns)
	return ""


func _read_pong(message, now_ns: int) -> String:
	if typeof(message.get("t")) != TYPE_INT or typeof(message.get("r")) != TYPE_INT:
		return "header"
	if not _is_session(message.get("ses")):
		return "header"
	_liveness.good(now_ns)
	if info != null and _bits(message["ses"]) != info["session"]:
		# The producer was restarted and knows neither this client nor what it wants.
		info = null
		_next_touch_ns = now_ns
		if _last_state != null:
			_repeat_state(now_ns)
	return ""


func _repeat_state(now_ns: int) -> void:
	_last_id += 1
	_last_state = _last_state.duplicate(true)
	_last_state["cid"] = _last_id
	_last_state["ts"] = now_ns
	_last_state.erase("cal")
	_pending["set"] = _last_state
	_remember(_last_id, now_ns)


func _note_incompatible(now_ns: int) -> void:
	_liveness.incompatible()
	info = null
	_pending = {}
	_next_touch_ns = now_ns + AFTER_REFUSAL_NS


func _remember(id: int, now_ns: int) -> void:
	_sent_ns[id] = now_ns
	_sent_ns.erase(id - STATES_REMEMBERED)


func _is_finite(value) -> bool:
	if typeof(value) == TYPE_DICTIONARY:
		for key in value:
			if not _is_finite(value[key]):
				return false
	elif typeof(value) == typeof(0.0):
		return _is_number(value)
	return true


func _is_number(value) -> bool:
	return not is_nan(value) and not is_inf(value)


func _is_session(value) -> bool:
	return typeof(value) == TYPE_OBJECT or (typeof(value) == TYPE_INT and value >= 0)


func _bits(value) -> int:
	return value.bits if typeof(value) == TYPE_OBJECT else value
