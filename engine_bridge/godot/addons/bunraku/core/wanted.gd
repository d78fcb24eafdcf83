# What a game wants of a character at this moment, and how it becomes a `set` (docs/protocol.md). Knows no connection.

const YAW_DEGREES = 30.0
const PITCH_DEGREES = 20.0
const HEAD_SHARE = 1.0 / 3.0  # of what the eyes turn

var has_changed = false  # since the last as_set()

var _controls = {}
var _others = {}  # who, mix, psi, emo, cal


# Holds a control at a value: degrees for poses and gaze, otherwise 0 to 1.
func hold(control: String, value: float) -> void:
	if not _controls.has(control) or _controls[control] != value:
		_controls[control] = value
		has_changed = true


# Lets go of a control: it goes back to the character's own life.
func release(control: String) -> void:
	if _controls.erase(control):
		has_changed = true


# Releases all controls. Identity, mix and expression stay.
func release_all() -> void:
	if _controls.size() > 0:
		_controls = {}
		has_changed = true


# Turns the eyes, and the head by a third of it. Positive yaw is the viewer's right, positive pitch is up.
func look(yaw_degrees: float, pitch_degrees: float) -> void:
	var yaw = clamp(yaw_degrees, -YAW_DEGREES, YAW_DEGREES)
	var pitch = clamp(pitch_degrees, -PITCH_DEGREES, PITCH_DEGREES)
	hold("gazeYaw", yaw)
	hold("gazePitch", pitch)
	hold("headYaw", yaw * HEAD_SHARE)
	hold("headPitch", pitch * HEAD_SHARE)


# Turns towards a point given from between her eyes: x to the viewer's right, y up, z out of the picture.
func look_at_offset(x: float, y: float, z: float) -> void:
	look(atan2(x, z) * 180.0 / PI, atan2(y, sqrt(x * x + z * z)) * 180.0 / PI)


# Lets eyes and head wander again.
func stop_looking() -> void:
	for control in ["gazeYaw", "gazePitch", "headYaw", "headPitch"]:
		release(control)


# Fades to a named expression; the empty text fades to none, null leaves it alone.
func express(name) -> void:
	_put("emo", null if name == null else str(name))


# Becomes somebody else: a name, or a seed where the stream has a mapping network; null leaves it alone.
func become(who) -> void:
	_put("who", _identity(who))


# Mixes a second identity in, 0 to 1; null for `who` ends it.
func mix(who, amount: float) -> void:
	_put("mix", null if who == null else {"who": _identity(who), "amount": amount})


# Draws more ordinary people with less of it, 0 to 1; null leaves it alone.
func truncate(psi) -> void:
	_put("psi", psi)


# Takes the present pose of a tracker as the neutral one, once.
func calibrate() -> void:
	_put("cal", true)


# Everything as keys of a `set`; from now on nothing has changed.
func as_set():
	var state = _others.duplicate(true)
	state["ex"] = _controls.duplicate()
	_others.erase("cal")
	has_changed = false
	return state


# A seed or null as it is, any kind of text as a String.
func _identity(who):
	return who if who == null or typeof(who) == TYPE_INT else str(who)


func _put(key: String, value) -> void:
	if value == null:
		if _others.erase(key):
			has_changed = true
	elif not _others.has(key) or typeof(_others[key]) != typeof(value) or str(_others[key]) != str(value):
		# Compared as texts because Godot 3 compares maps by identity.
		_others[key] = value
		has_changed = true
