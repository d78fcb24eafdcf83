# One connection of ZeroMQ's wire protocol, ZMTP 3.0 with the NULL mechanism (ZeroMQ RFC 23): bytes in, messages out,
# and the other way round. Knows no socket. Fits SUB and DEALER. Answers a PING but sends none: libzmq 4.3.5 may abort
# the process that has to answer one.
#
# The owner reads as many bytes as wanted() says, or fewer, and hands them to feed(); so nothing is ever cut out of a
# buffer again, and no length is believed before it was checked.

enum { GREETING, FLAGS, LONG_SIZE, BODY, CLOSED }

const Bytes = preload("bytes.gd")

const GREETING_BYTES = 64
const MAX_COMMAND_BYTES = 4096
const MOST_OUTGOING_BYTES = 1048576  # who pings on and reads no answer is not served
const MOST_PARTS = 1024  # of one message; who sends more never ends it
const MAX_HEADER_BYTES = 65536
const MORE = 1
const LONG = 2
const COMMAND = 4

var failure = ""  # why this connection cannot go on; empty while it can
var is_ready = false  # both sides have greeted each other; messages may be sent
var outgoing = Bytes.empty()  # what is to be sent; the owner takes from it

var _socket_type: String
var _peer_types
var _max_bytes: int  # of one part, and of all parts of a message beside a header
var _max_parts: int  # of one message; of a longer one, one part more is kept to tell
var _step = GREETING
var _wanted = GREETING_BYTES
var _got = Bytes.empty()
var _flags = 0
var _parts = []
var _part_count = 0
var _message_bytes = 0
var _message = null


# `socket_type` is "SUB" or "DEALER", `peer_types` whom it may talk to.
func _init(socket_type, peer_types, max_bytes, max_parts):
	_socket_type = socket_type
	_peer_types = peer_types
	_max_bytes = max_bytes
	_max_parts = max_parts
	# The signature and the version. The rest follows when the other side's greeting is known: libzmq hangs up on a
	# mechanism that it does not want before it has named its own.
	outgoing.append(0xFF)
	for _i in range(8):
		outgoing.append(0)
	outgoing.append(0x7F)
	outgoing.append(3)


# How many bytes feed() can take now; 0 after a failure and while a message waits to be taken.
func wanted() -> int:
	return 0 if _step == CLOSED or _message != null else _wanted - _got.size()


# Takes at most wanted() bytes.
func feed(bytes) -> void:
	if _got.size() == 0:
		_got = bytes
	else:
		_got.append_array(bytes)
	while _step != CLOSED and _got.size() == _wanted:
		var whole = _got
		_got = Bytes.empty()
		_advance(whole)
		if _message != null:
			return


# The message that has come, as an Array of parts, or null.
func take_message():
	var message = _message
	_message = null
	return message


# Queues a message of one part.
func send(part) -> void:
	_put_frame(0, part)


func _advance(bytes) -> void:
	match _step:
		GREETING:
			_read_greeting(bytes)
		FLAGS:
			_read_flags(bytes)
		LONG_SIZE:
			_expect_body(_number(bytes, 0, 8))
		BODY:
			_read_body(bytes)


func _read_greeting(bytes) -> void:
	if bytes[0] != 0xFF or bytes[9] & 1 != 1 or bytes[10] < 3:
		_fail("what answers there does not speak ZeroMQ (ZMTP 3)")
		return
	var mechanism = Bytes.empty()
	for i in range(12, 32):
		if bytes[i] != 0:
			mechanism.append(bytes[i])
	var name = mechanism.get_string_from_ascii()
	if name != "NULL":
		_fail("the producer wants %s; this client has no keys, use the native one" % name)
		return
	outgoing.append(0)  # minor version
	outgoing.append_array(Bytes.utf8("NULL"))
	for _i in range(12 + 4, GREETING_BYTES):
		outgoing.append(0)
	_expect(FLAGS, 2)


func _read_flags(bytes) -> void:
	_flags = bytes[0]
	if _flags & ~(MORE | LONG | COMMAND) != 0 or (_flags & COMMAND != 0 and _flags & MORE != 0):
		_fail("a frame with unknown flags")
	elif _flags & LONG == 0:
		_expect_body(bytes[1])
	else:
		_expect(LONG_SIZE, 8)
		_got.append(bytes[1])


func _expect_body(size: int) -> void:
	var most = MAX_COMMAND_BYTES if _flags & COMMAND != 0 else _max_bytes
	if size < 0 or size > most:
		_fail("a frame of %d bytes, the limit is %d" % [size, most])
	elif size == 0:
		_read_body(Bytes.empty())
	else:
		_expect(BODY, size)


func _read_body(bytes) -> void:
	_expect(FLAGS, 2)
	if _flags & COMMAND != 0:
		_read_command(bytes)
		return
	if not is_ready:
		_fail("a message before the handshake is over")
		return
	_part_count += 1
	_message_bytes += bytes.size()
	if _part_count > MOST_PARTS or _message_bytes > _max_bytes + 2 * MAX_HEADER_BYTES:
		_fail("a message of %d parts and %d bytes that does not end" % [_part_count, _message_bytes])
		return
	if _parts.size() <= _max_parts:
		_parts.append(bytes)
	if _flags & MORE == 0:
		_message = _parts
		_parts = []
		_part_count = 0
		_message_bytes = 0


func _read_command(bytes) -> void:
	var length = bytes[0] if bytes.size() > 0 else 0
	if length == 0 or bytes.size() < 1 + length:
		_fail("a malformed command")
		return
	var name = Bytes.part(bytes, 1, length).get_string_from_ascii()
	var rest = Bytes.part(bytes, 1 + length, bytes.size() - 1 - length)
	if name == "READY":
		_read_ready(rest)
	elif name == "ERROR":
		_fail("the producer hung up: %s" % _error_text(rest))
	elif name == "PING" and outgoing.size() > MOST_OUTGOING_BYTES:
		_fail("pings, and reads no answer")
	elif name == "PING" and rest.size() >= 2:
		_put_command("PONG", Bytes.part(rest, 2, int(min(rest.size() - 2, 16))))


func _read_ready(bytes) -> void:
	var at = 0
	while at < bytes.size():
		var name_end = at + 1 + bytes[at]
		if name_end + 4 > bytes.size():
			_fail("a malformed handshake")
			return
		var name = Bytes.part(bytes, at + 1, bytes[at]).get_string_from_ascii()
		var size = _number(bytes, name_end, 4)
		at = name_end + 4 + size
		if at > bytes.size():
			_fail("a malformed handshake")
			return
		if name.to_lower() == "socket-type":
			var peer = Bytes.part(bytes, name_end + 4, size).get_string_from_ascii()
			if not _peer_types.has(peer):
				_fail("a %s socket answers where one of %s belongs; wrong port?" % [peer, _peer_types])
				return
	# Answered only now, for the same reason as the greeting: libzmq hangs up on a socket that does not go with its own.
	var properties = _property("Socket-Type", Bytes.utf8(_socket_type))
	if _socket_type == "DEALER":
		properties.append_array(_property("Identity", Bytes.empty()))
	_put_command("READY", properties)
	is_ready = true


func _error_text(bytes) -> String:
	if bytes.size() < 1 or bytes.size() < 1 + bytes[0]:
		return "no reason given"
	return Bytes.part(bytes, 1, bytes[0]).get_string_from_ascii()


func _property(name: String, value):
	var property = Bytes.empty()
	property.append(name.length())
	property.append_array(Bytes.utf8(name))
	for shift in [24, 16, 8, 0]:
		property.append((value.size() >> shift) & 0xFF)
	property.append_array(value)
	return property


func _put_command(name: String, body) -> void:
	var command = Bytes.empty()
	command.append(name.length())
	command.append_array(Bytes.utf8(name))
	command.append_array(body)
	_put_frame(COMMAND, command)


func _put_frame(flags: int, body) -> void:
	if body.size() <= 255:
		outgoing.append(flags)
		outgoing.append(body.size())
	else:
		outgoing.append(flags | LONG)
		for shift in [56, 48, 40, 32, 24, 16, 8, 0]:
			outgoing.append((body.size() >> shift) & 0xFF)
	outgoing.append_array(body)


func _number(bytes, from: int, count: int) -> int:
	var number = 0
	for i in range(from, from + count):
		number = (number << 8) | bytes[i]
	return number


func _expect(step: int, count: int) -> void:
	_step = step
	_wanted = count


func _fail(text: String) -> void:
	failure = text
	_step = CLOSED
