# A connection that never waits and comes back by itself: StreamPeerTCP under ZMTP. Knows no message's meaning.
#
# tick() keeps it going, receive() takes what has come, send() queues. The name and calls of StreamPeerTCP that are used
# here are the same in both engines; only Godot 4 has to be told to poll().

const Bytes = preload("bytes.gd")
const Zmtp = preload("zmtp.gd")

const CONNECT_NS = 2000000000  # for the connection
const GREET_NS = 10000000000  # for the handshake; a suspended producer answers when it wakes
# A link on which nothing comes is given up after ten seconds and made again, then after twice as long each time, up to
# forty, until something is heard. engine_bridge/client/liveness.py says why.
const FIRST_PATIENCE_NS = 10000000000
const LONGEST_PATIENCE_NS = 40000000000
const LONGEST_TICK_NS = 500000000  # only time in which the game ran counts as silence
const READS_PER_TICK = 4096  # so that a flood of small parts or pings cannot hold up the game
const FIRST_RETRY_NS = 100000000
const LONGEST_RETRY_NS = 1000000000

var failure = ""  # why the last connection ended or could not be made, empty before the first such
var failures = 0  # connections that the other side, though reached, did not let in
var is_open = false  # connected and greeted

var _host = ""
var _port = 0
var _socket_type: String
var _peer_types
var _max_bytes: int
var _max_parts: int
var _peer = null
var _zmtp = null
var _greeted = false
var _opened_ns = 0
var _ticked_ns = 0
var _silent_ns = 0
var _patience_ns = FIRST_PATIENCE_NS
var _retry_at_ns = 0
var _reads_left = READS_PER_TICK
var _retry_ns = FIRST_RETRY_NS


# Where a link would lead, as [host, port]; or null if the endpoint cannot be used by this client.
static func split_endpoint(endpoint: String):
	var colon = endpoint.rfind(":")
	if not endpoint.begins_with("tcp://") or colon < 7:
		return null
	var host = endpoint.substr(6, colon - 6)
	var port = int(endpoint.substr(colon + 1, endpoint.length() - colon - 1))
	if host.begins_with("[") and host.ends_with("]"):
		host = host.substr(1, host.length() - 2)
	if port < 1 or port > 65535:
		return null
	return [host, port]


# `place` comes from split_endpoint(); `max_bytes` is the largest part, `max_parts` the largest message taken.
func _init(place, socket_type, peer_types, max_bytes, max_parts):
	_host = place[0]
	_port = place[1]
	_socket_type = socket_type
	_peer_types = peer_types
	_max_bytes = max_bytes
	_max_parts = max_parts


# Connects, greets, answers pings, gives up and tries again. Call it often. Says whether the link has just opened.
func tick(now_ns: int) -> bool:
	_silent_ns += int(min(now_ns - _ticked_ns, LONGEST_TICK_NS))
	_ticked_ns = now_ns
	_reads_left = READS_PER_TICK
	if _peer == null:
		if now_ns >= _retry_at_ns:
			_open(now_ns)
		return false
	if _peer.has_method("poll"):
		_peer.poll()
	var status = _peer.get_status()
	if status == StreamPeerTCP.STATUS_CONNECTED:
		_greeted = true
		_flush()
	elif status != StreamPeerTCP.STATUS_CONNECTING or _greeted:
		_retry(now_ns, "nobody answers at tcp://%s:%d" % [_host, _port])
		return false
	return _watch(now_ns)


# The next message that has come, as an Array of parts, or null if none waits.
func receive():
	while _peer != null and _greeted and _zmtp.failure == "" and _reads_left > 0:
		_reads_left -= 1
		var waiting = int(min(_peer.get_available_bytes(), _zmtp.wanted()))
		if waiting <= 0:
			return null
		var got = _peer.get_partial_data(waiting)
		if got[0] != OK or got[1].size() == 0:
			return null
		_silent_ns = 0
		_patience_ns = FIRST_PATIENCE_NS
		_zmtp.feed(got[1])
		var message = _zmtp.take_message()
		if message != null:
			return message
	return null


# Queues a message of one part and sends what can be sent now. Only while is_open.
func send(part) -> void:
	_zmtp.send(part)
	_flush()


# Whether everything queued has been handed to the system.
func is_idle() -> bool:
	return is_open and _zmtp.outgoing.size() == 0


# Closes, and reconnects after a pause.
func pause(now_ns: int, pause_ns: int) -> void:
	_drop()
	_retry_at_ns = now_ns + pause_ns


# Closes at once.
func close() -> void:
	_drop()


func _open(now_ns: int) -> void:
	_zmtp = Zmtp.new(_socket_type, _peer_types, _max_bytes, _max_parts)
	_peer = StreamPeerTCP.new()
	_greeted = false
	_opened_ns = now_ns
	_silent_ns = 0
	if _peer.connect_to_host(_host, _port) != OK:
		_retry(now_ns, "cannot connect to tcp://%s:%d" % [_host, _port])


func _watch(now_ns: int) -> bool:
	if _zmtp.failure != "":
		failures += 1
		_retry(now_ns, _zmtp.failure)
		return false
	if not _zmtp.is_ready:
		if now_ns - _opened_ns >= (GREET_NS if _greeted else CONNECT_NS):
			_retry(now_ns, "tcp://%s:%d does not greet" % [_host, _port])
		return false
	if _silent_ns >= _patience_ns:
		_patience_ns = int(min(2 * _patience_ns, LONGEST_PATIENCE_NS))
		_retry(now_ns, "tcp://%s:%d has gone silent" % [_host, _port])
		return false
	var opened_now = not is_open
	is_open = true
	_retry_ns = FIRST_RETRY_NS
	return opened_now


func _flush() -> void:
	if _zmtp.outgoing.size() > 0:
		var sent = _peer.put_partial_data(_zmtp.outgoing)
		if sent[0] == OK and sent[1] > 0:
			_zmtp.outgoing = Bytes.part(_zmtp.outgoing, sent[1], _zmtp.outgoing.size() - sent[1])


func _retry(now_ns: int, text: String) -> void:
	_drop()
	failure = text
	_retry_at_ns = now_ns + _retry_ns
	_retry_ns = int(min(2 * _retry_ns, LONGEST_RETRY_NS))


func _drop() -> void:
	is_open = false
	if _peer != null:
		_peer.disconnect_from_host()
	_peer = null
	_zmtp = null
