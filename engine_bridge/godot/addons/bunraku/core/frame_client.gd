# Receives one stream and keeps its newest frame. Knows no node or texture; time is an argument.
#
# Twin of engine_bridge/client/subscriber.py without its thread: tick() drains the socket until nothing is left, so that the
# newest frame wins. Call it on every frame of the game. If the game itself stood still for a while, what waits in the
# system and in the producer's queue is old; tick() then waits up to 20 ms for something newer to follow.

const AvfMessage = preload("avf_message.gd")
const Bytes = preload("bytes.gd")
const FrameOrder = preload("frame_order.gd")
const Link = preload("link.gd")
const Liveness = preload("liveness.gd")

const TOPIC_PREFIX = "avf1/"
const TOPIC_FAMILY = "avf"  # what topics of every major version begin with
const MESSAGES_PER_TICK = 256  # so that a flood cannot hold up the game for ever
const AGES_KEPT = 256
const STOOD_STILL_NS = 100000000  # between two ticks; the producer's queue may be full of old frames by then
const CATCH_UP_MS = 20
const FRESH_NS = 40000000
const OTHERS_KEPT = 8
const PROBE_AFTER_NS = 1500000000

var received = 0  # frames that were news
var shown = 0  # frames taken
var skipped = 0  # frames overtaken by a newer one before they were taken
var bad = {}  # rejected messages by code
var last_error = ""  # why the last rejected message was rejected, or why there is no connection
var stream = ""  # name of the stream that is received, empty until one is heard
var control_endpoint = ""  # where the producer takes controls, empty until it has told
var provenance = null  # where the pictures come from, null until the producer has told
var stats = null  # how the producer's live loop does, null until it has told

var _wanted_stream = ""
var _link
var _liveness = Liveness.new()
var _order = FrameOrder.new()
var _message = AvfMessage.new()
var _newest = null
var _probing = false  # whether topics of all major versions are subscribed
var _others = []  # names of streams that the producer plays, while ours is not among them
var _version_is_ours = false  # whether any stream of our version was heard since the wanted one was
var _producer_offset_ns = null
var _ages_ns = []
var _warned_ns = null
var _last_tick_ns = null
var _lost_since_ns = null
var _pause_ns = 0  # to make before reconnecting, 0 to go on
var _refusals = 0  # failures of the link that have been counted


# `place` from Link.split_endpoint(); an empty `wanted_stream` takes the first one heard, and another one only when that
# is gone.
func _init(place, wanted_stream):
	_wanted_stream = wanted_stream
	stream = wanted_stream
	var sixty_four_mib = AvfMessage.MAX_PLANE_BYTES
	_link = Link.new(place, "SUB", ["PUB", "XPUB"], sixty_four_mib, AvfMessage.MAX_PARTS)


# Whether `name` can be a stream's.
static func is_stream_name(name: String) -> bool:
	return AvfMessage.new().read_topic(Bytes.utf8(TOPIC_PREFIX + name))


# Receives all that waits. `now_ns` is any monotonic clock, `unix_ns` the same moment since 1970.
func tick(now_ns: int, unix_ns: int) -> void:
	var stood_still = _last_tick_ns != null and now_ns - _last_tick_ns > STOOD_STILL_NS
	_last_tick_ns = now_ns
	if _link.tick(now_ns):
		_subscribe(TOPIC_PREFIX + _wanted_stream, true)
		_probing = false
	if _link.failure != "" and not _link.is_open:
		last_error = _link.failure
	if _link.failures > _refusals:
		_refusals = _link.failures
		_link.pause(now_ns, _liveness.refused(now_ns))
	_probe_while_lost(now_ns)
	_drain(now_ns)
	for waited_ms in range(CATCH_UP_MS if stood_still and _newest != null else 0):
		var age_ns = _age_ns(_newest, unix_ns + waited_ms * 1000000)
		if not _link.is_open or age_ns == null or age_ns < FRESH_NS:
			return
		OS.delay_msec(1)
		_drain(now_ns)


# The newest frame as AvfMessage.read() makes it, or null if there is nothing newer than what was taken before.
func take(unix_ns: int):
	var frame = _newest
	_newest = null
	if frame != null:
		shown += 1
		frame["age_ns"] = _age_ns(frame, unix_ns)
		if frame["age_ns"] != null:
			_ages_ns.append(frame["age_ns"])
			if _ages_ns.size() > AGES_KEPT:
				_ages_ns.pop_front()
	return frame


# One of the states of Liveness.
func state(now_ns: int) -> int:
	return _liveness.state(now_ns)


# Numbers for a `stat`: frames shown, frames lost on the way, ages when taken.
func report():
	var ages = _ages_ns.duplicate()
	ages.sort()
	var last = ages.size() - 1
	return {
		"shown": shown,
		"dropped": skipped + _order.missed,
		"age_p50": ages[last / 2] / 1e6 if last >= 0 else 0.0,
		"age_p99": ages[last * 99 / 100] / 1e6 if last >= 0 else 0.0,
	}


# Frames that were no news.
func late() -> int:
	return _order.late


# Gaps in the numbers.
func missed() -> int:
	return _order.missed


# New connections after too many bad messages.
func reconnects() -> int:
	return _liveness.reconnects


# The producer's session, null until one is heard.
func session():
	return _order.session


# Takes one message in and says what it is to this client: frame, heartbeat, bye, late, ignored, or drop:<code>. For
# tick(), and for tests that bring the parts themselves.
func judge(parts, now_ns: int) -> String:
	if parts.size() > 0 and _message.read_topic(parts[0]) and _message.major == AvfMessage.MAJOR:
		if _message.variant != "" or (stream != "" and _message.stream != stream):
			_version_is_ours = true
			if stream != "" and _message.stream != stream and _newest == null:
				_note_other(_message.stream, now_ns)
			return "ignored"
	var message = _message.read(parts)
	if message == null:
		_note_rejected(now_ns)
		return "drop:" + _message.code
	_version_is_ours = false
	if _others.size() > 0:
		_others.clear()
		last_error = ""
	if message["k"] == "b":
		if _order.session != null and message["ses"] == _order.session:
			_liveness.bye()
		return "bye"
	stream = message["stream"]
	if message.get("prov") != null:
		provenance = message["prov"]
	if message["k"] == "h":
		_order.is_new_session(message["ses"])
		_liveness.heartbeat(now_ns)
		control_endpoint = message["ctl"]
		stats = message["stats"]
		_producer_offset_ns = message.get("off")
		return "heartbeat"
	_liveness.good(now_ns)
	if not _order.is_news(message["ses"], message["id"]):
		return "late"
	received += 1
	if _newest != null:
		skipped += 1
	_newest = message
	return "frame"


# Stops receiving; harmless when repeated.
func close() -> void:
	_link.close()


func _drain(now_ns: int) -> void:
	for _i in range(MESSAGES_PER_TICK):
		var parts = _link.receive()
		if parts == null:
			return
		judge(parts, now_ns)
		if _pause_ns > 0:
			_link.pause(now_ns, _pause_ns)
			_pause_ns = 0
			return


# Says that the producer is there and plays other streams: most likely the name is misspelt.
func _note_other(name: String, now_ns: int) -> void:
	if _liveness.state(now_ns) != Liveness.LOST or name in _others or _others.size() >= OTHERS_KEPT:
		return
	_others.append(name)
	var listed = ""
	for other in _others:
		listed += (", " if listed != "" else "") + other
	last_error = "no stream %s there; it plays %s" % [stream, listed]


func _note_rejected(now_ns: int) -> void:
	bad[_message.code] = bad.get(_message.code, 0) + 1
	last_error = _message.why
	if _warned_ns == null or now_ns - _warned_ns >= 1000000000:
		_warned_ns = now_ns
		push_warning("Bunraku dropped a message (%s): %s" % [_message.code, _message.why])
	if _message.code == "version":
		_liveness.incompatible()
	else:
		_pause_ns = _liveness.bad(now_ns)


# While nothing is heard for a while, listen to all major versions, to tell "wrong version" from silence.
#
# No longer than until anything is heard: the producer takes whoever listens for somebody who watches.
func _probe_while_lost(now_ns: int) -> void:
	if not _link.is_open:
		return
	if _liveness.state(now_ns) != Liveness.LOST:
		_lost_since_ns = null
	else:
		stream = _wanted_stream
		if _lost_since_ns == null:
			_lost_since_ns = now_ns
	var long_lost = _lost_since_ns != null and now_ns - _lost_since_ns >= PROBE_AFTER_NS
	var probe = long_lost and not _version_is_ours
	if probe != _probing:
		_subscribe(TOPIC_FAMILY, probe)
		_probing = probe


func _subscribe(prefix: String, wanted: bool) -> void:
	var event = Bytes.empty()
	event.append(1 if wanted else 0)
	event.append_array(Bytes.utf8(prefix))
	_link.send(event)


# Nanoseconds since the frame was published, null if that cannot be told. Engines count time from their own start, so
# Unix time is what both sides share.
func _age_ns(frame, unix_ns: int):
	if frame["tp"] == 0 or _producer_offset_ns == null:
		return null
	return int(max(0, unix_ns - (frame["tp"] + _producer_offset_ns)))
