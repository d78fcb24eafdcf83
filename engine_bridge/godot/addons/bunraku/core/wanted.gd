# What a game wants of a character at this moment, changed by the verbs of docs/protocol.md, and how it becomes a `set`.
# What cannot be sent is refused with an error in Godot's log and changes nothing. Knows no connection.

const MAX_CONTROLS = 256
const YAW_DEGREES = 30.0
const PITCH_DEGREES = 20.0
const HEAD_SHARE = 1.0 / 3.0  # of what the eyes turn

var has_changed = false  # since the last as_set()

var _controls = {}
var _others = {}  # who, mix, psi, emo, cal


# Holds a control at a value: degrees for poses and gaze, otherwise 0 to 1.
func hold(control: String, value: float) -> void:
	if control == "" or is_nan(value) or is_inf(value):
		_refuse("hold", [control, value])
	elif _controls.size() == MAX_CONTROLS and not _controls.has(control):
		push_error("Bunraku: more than %d controls are held; release some first" % MAX_CONTROLS)
	elif not _controls.has(control) or _controls[control] != value:
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
	if who == null or _is_identity(who):
		_put("who", _identity(who))
	else:
		_refuse("become", [who])


# Mixes a second identity in: 0 is all the first, 1 is all this one; null for `who` ends it.
func mix(who, amount: float) -> void:
	if who == null:
		end_mix()
	elif _is_identity(who) and _is_share(amount):
		_put("mix", {"who": _identity(who), "amount": amount})
	else:
		_refuse("mix", [who, amount])


# Ends the mix. Sent as an amount of 0, because a producer keeps what is left out.
func end_mix() -> void:
	if _others.has("mix"):
		_put("mix", {"who": _others["mix"]["who"], "amount": 0.0})


# Draws more ordinary people with less of it, 0 to 1; null leaves it alone.
func truncate(psi) -> void:
	if psi == null or _is_share(psi):
		_put("psi", null if psi == null else float(psi))
	else:
		_refuse("truncate", [psi])


# Takes the present pose of a tracker as the neutral one, once.
func calibrate() -> void:
	_others["cal"] = true
	has_changed = true


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


func _is_identity(who) -> bool:
	return who >= 0 if typeof(who) == TYPE_INT else str(who) != ""


# False for NaN, too.
func _is_share(amount) -> bool:
	return amount >= 0.0 and amount <= 1.0


func _refuse(verb: String, words: Array) -> void:
	push_error("Bunraku: %s of %s was refused; names are not empty, seeds 0 or more, amounts 0 to 1" % [verb, words])


func _put(key: String, value) -> void:
	if value == null:
		if _others.erase(key):
			has_changed = true
	elif not _others.has(key) or not _is_same(_others[key], value):
		_others[key] = value
		has_changed = true


# Godot 3 compares maps by identity, and neither engine compares a number with a text.
func _is_same(left, right) -> bool:
	if typeof(left) != typeof(right):
		return false
	if typeof(left) == TYPE_DICTIONARY:
		return _is_same(left["who"], right["who"]) and left["amount"] == right["amount"]
	return left == right
