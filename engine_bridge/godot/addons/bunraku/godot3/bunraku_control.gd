# Moves a live character from Godot 3: controls by name, gaze, expression, identity.
#
#     $Control.wanted.hold("jawOpen", 0.5)
#     $Control.wanted.express("happy")
#     $Control.gaze_target = $Control.get_path_to($Player)
#
# What is wanted is sent when it changes and repeated when a producer comes back. The logic is in ../core.
extends Node
class_name BunrakuControl

signal welcomed(info)  # `info` as in docs/protocol.md: character, controls, identities, expressions

const ControlClient = preload("../core/control_client.gd")
const Link = preload("../core/link.gd")
const Liveness = preload("../core/liveness.gd")
const Wanted = preload("../core/wanted.gd")

const REPORT_EVERY_NS = 1000000000

# Of the producer's control channel; empty takes the one that the receiver's producer tells.
export(String) var endpoint = ""
# The BunrakuReceiver that shows the character; empty if `endpoint` is given and nobody counts frames.
export(NodePath) var receiver = NodePath("")
# A Spatial, Node2D or Control that she looks at; empty for her own wandering eyes.
export(NodePath) var gaze_target = NodePath("")
# The node that shows her, of the same kind as the target; its middle is taken for her eyes. A Spatial faces +Z.
export(NodePath) var eyes = NodePath("")
# In 2D: how many pixels before the screen the player's plane is.
export(float) var gaze_depth_px = 400.0

var wanted = Wanted.new()  # what to hold, express, become
var state = Liveness.LOST
var info = null  # what the stream takes, null until the producer has welcomed us
var last_error = ""  # the last refusal or why there is no connection, for people
var motion_to_photon_ms = 0.0  # from sending a state to showing it, 0 until it was measured
var client = null  # core/control_client.gd; null until an endpoint is set

var _place = null
var _is_looking = false
var _next_report_ns = 0
var _timed_id = 0


func _init():
	pause_mode = Node.PAUSE_MODE_PROCESS


func _exit_tree():
	if client != null:
		client.close()
	client = null
	_place = null


func _process(_delta):
	var now_ns = OS.get_ticks_usec() * 1000
	_follow_endpoint()
	if client == null:
		return
	_look()
	if wanted.has_changed:
		client.send(wanted.as_set(), now_ns)
	_report(now_ns)
	client.tick(now_ns)
	state = client.state(now_ns)
	last_error = client.last_refusal if client.last_refusal != "" else client.failure()
	if client.info != info:
		info = client.info
		if info != null:
			emit_signal("welcomed", info)


# "lost", "live", "stale", "error" or "incompatible".
func state_name() -> String:
	return Liveness.NAMES[state]


func _receiver():
	return null if receiver.is_empty() else get_node_or_null(receiver)


func _follow_endpoint() -> void:
	var wanted_endpoint = endpoint
	if wanted_endpoint == "" and _receiver() != null:
		wanted_endpoint = _receiver().control_endpoint()
	var place = Link.split_endpoint(wanted_endpoint)
	if place == null:
		if wanted_endpoint != "":
			last_error = "%s is not a tcp://host:port endpoint; this client speaks tcp only" % wanted_endpoint
		return
	if _place == null or place[0] != _place[0] or place[1] != _place[1]:
		if client != null:
			client.close()
		_place = place
		client = ControlClient.new(place, "godot 3")
		wanted.has_changed = true


func _look() -> void:
	var from = null if eyes.is_empty() else get_node_or_null(eyes)
	var to = null if gaze_target.is_empty() else get_node_or_null(gaze_target)
	if from == null or to == null:
		if _is_looking:
			wanted.stop_looking()
		_is_looking = false
		return
	_is_looking = true
	if from is Spatial and to is Spatial:
		var offset = from.to_local(to.global_transform.origin)
		wanted.look_at_offset(offset.x, offset.y, offset.z)
	else:
		var offset = _middle_of(to) - _middle_of(from)
		wanted.look_at_offset(offset.x, -offset.y, gaze_depth_px)


func _middle_of(node) -> Vector2:
	if node is Control:
		return node.rect_global_position + node.rect_size / 2
	return node.global_position


func _report(now_ns: int) -> void:
	var shown_by = _receiver()
	if shown_by == null or shown_by.client == null:
		return
	if now_ns >= _next_report_ns:
		_next_report_ns = now_ns + REPORT_EVERY_NS
		client.report(shown_by.client.report())
	var frame = shown_by.last_frame
	if frame != null and frame["ca"] != _timed_id:
		var age_ns = client.motion_to_photon_ns(frame, now_ns)
		if age_ns != null:
			_timed_id = frame["ca"]
			motion_to_photon_ms = age_ns / 1e6
