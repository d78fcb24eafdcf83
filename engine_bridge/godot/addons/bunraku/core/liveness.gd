# How a client judges its producer: alive, silent, gone, talking nonsense. Pure: time is an argument.
#
# Twin of engine_bridge/client/liveness.py; the states are numbered as in bunraku/client.h.

enum { LOST, LIVE, STALE, ERROR, INCOMPATIBLE }

const NAMES = ["lost", "live", "stale", "error", "incompatible"]
const STALE_AFTER_NS = 1500000000
const LOST_AFTER_NS = 5000000000
const BAD_IN_A_ROW = 30
const BAD_FOR_NS = 2000000000
const FIRST_PAUSE_NS = 250000000
const LONGEST_PAUSE_NS = 4000000000

var reconnects = 0  # how often a new connection was asked for

var _heard_ns = null  # last message of any worth, null before the first and after a bye
var _bad_in_a_row = 0
var _first_bad_ns = null
var _last_bad_ns = null
var _failing = false
var _incompatible = false
var _pause_ns = FIRST_PAUSE_NS


# The state at this moment.
func state(now_ns: int) -> int:
	if _incompatible:
		return INCOMPATIBLE
	if _heard_ns == null or now_ns - _heard_ns >= LOST_AFTER_NS:
		var recently_bad = _last_bad_ns != null and now_ns - _last_bad_ns < LOST_AFTER_NS
		return ERROR if _failing and recently_bad else LOST
	if _failing:
		return ERROR
	return STALE if now_ns - _heard_ns >= STALE_AFTER_NS else LIVE


# A frame (or, on the control channel, an answer) came that can be used.
func good(now_ns: int) -> void:
	_heard_ns = now_ns
	_failing = false
	_incompatible = false
	_pause_ns = FIRST_PAUSE_NS
	_forget_bad()


# The producer is there; that alone does not excuse bad frames of the last two seconds.
func heartbeat(now_ns: int) -> void:
	if _last_bad_ns == null or now_ns - _last_bad_ns >= BAD_FOR_NS:
		good(now_ns)
	_heard_ns = now_ns
	_incompatible = false


# Something came that cannot be used. Returns nanoseconds to wait before reconnecting, 0 to go on.
func bad(now_ns: int) -> int:
	_bad_in_a_row += 1
	_last_bad_ns = now_ns
	if _first_bad_ns == null:
		_first_bad_ns = now_ns
	if _bad_in_a_row < BAD_IN_A_ROW and now_ns - _first_bad_ns < BAD_FOR_NS:
		return 0
	_bad_in_a_row = 0
	_first_bad_ns = null
	return refused(now_ns)


# The other side does not let us in at all (another kind of socket, keys). Returns nanoseconds to wait.
func refused(now_ns: int) -> int:
	_last_bad_ns = now_ns
	_failing = true
	reconnects += 1
	var pause_ns = _pause_ns
	_pause_ns = int(min(2 * _pause_ns, LONGEST_PAUSE_NS))
	return pause_ns


# The producer speaks another major version.
func incompatible() -> void:
	_incompatible = true


# The producer has left on purpose.
func bye() -> void:
	_heard_ns = null
	_failing = false
	_forget_bad()


func _forget_bad() -> void:
	_bad_in_a_row = 0
	_first_bad_ns = null
	_last_bad_ns = null
