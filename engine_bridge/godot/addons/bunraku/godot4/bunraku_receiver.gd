# Shows a live character in Godot 4: receives a stream of frames and keeps its newest one in `texture`.
#
#     $Receiver.endpoint = "tcp://127.0.0.1:5760"
#     $Sprite2D.texture = $Receiver.texture    # once; the texture stays the same and changes its picture
#
# The logic is in ../core; this file only knows the names of Godot 4.
class_name BunrakuReceiver
extends Node

signal state_changed(state)  # one of LOST, LIVE, STALE, ERROR, INCOMPATIBLE
signal size_changed(width, height)

const FrameClient = preload("../core/frame_client.gd")
const Link = preload("../core/link.gd")
const Liveness = preload("../core/liveness.gd")
const Pixels = preload("../core/pixels.gd")

const LOST = Liveness.LOST
const LIVE = Liveness.LIVE
const STALE = Liveness.STALE
const ERROR = Liveness.ERROR
const INCOMPATIBLE = Liveness.INCOMPATIBLE

## Of the producer's frame channel; tcp only.
@export var endpoint: String = "tcp://127.0.0.1:5760":
	set(value):
		endpoint = value
		if is_inside_tree():
			_open()
## Name of the stream; empty takes the first one heard.
@export var stream: String = "":
	set(value):
		stream = value
		if is_inside_tree():
			_open()
## A node with a property `texture` (Sprite2D, TextureRect, Sprite3D) that is given the texture; may stay empty.
@export var target: NodePath

var texture = ImageTexture.new()  # straight alpha, sRGB, row 0 on top
var state = LOST  # changes once per frame of the game at most
var frame_id = 0  # number of the frame shown, 0 before the first
var latency_ms = 0.0  # from publishing to showing, of the frame shown; 0 until it can be told
var last_frame = null  # header of the frame shown (keys of docs/protocol.md), null before the first
var client = null  # core/frame_client.gd: counters, session, provenance; null while nothing can be received

var _image = Image.new()
var _width = 0
var _height = 0
var _complaint = ""


func _init():
	process_mode = Node.PROCESS_MODE_ALWAYS  # a paused game that does not drain would go on with old frames


func _enter_tree():
	_open()


func _ready():
	if not target.is_empty():
		get_node(target).set("texture", texture)


func _exit_tree():
	_close()


func _process(_delta):
	if client == null:
		return
	var now_ns = Time.get_ticks_usec() * 1000
	client.tick(now_ns, int(Time.get_unix_time_from_system() * 1e6) * 1000)
	var frame = client.take(int(Time.get_unix_time_from_system() * 1e6) * 1000)
	if frame != null:
		_show(frame)
	_set_state(client.state(now_ns))


## "lost", "live", "stale", "error" or "incompatible".
func state_name() -> String:
	return Liveness.NAMES[state]


## Why there is no picture, for people; empty if there never was a reason.
func last_error() -> String:
	return _complaint if client == null else client.last_error


## Where the producer takes controls, empty until it has told.
func control_endpoint() -> String:
	return "" if client == null else client.control_endpoint


func _open() -> void:
	_close()
	_complaint = ""
	var place = Link.split_endpoint(endpoint)
	if place == null:
		_complaint = "%s is not a tcp://host:port endpoint; this client speaks tcp only" % endpoint
	elif stream != "" and not FrameClient.is_stream_name(stream):
		_complaint = "'%s' cannot name a stream. Use 1 to 59 of the characters A-Z a-z 0-9 . _ -" % stream
	else:
		client = FrameClient.new(place, stream)
	if _complaint != "":
		push_error("BunrakuReceiver: " + _complaint)
		_set_state(ERROR)


func _close() -> void:
	if client != null:
		client.close()
	client = null
	_set_state(LOST)


func _show(frame) -> void:
	_image.set_data(frame["w"], frame["h"], false, Image.FORMAT_RGBA8, Pixels.rgba_of(frame))
	frame.erase("payload")
	if frame["w"] == _width and frame["h"] == _height:
		texture.update(_image)
	else:
		texture.set_image(_image)
	frame_id = frame["id"]
	last_frame = frame
	latency_ms = 0.0 if frame["age_ns"] == null else frame["age_ns"] / 1e6
	if frame["w"] != _width or frame["h"] != _height:
		_width = frame["w"]
		_height = frame["h"]
		size_changed.emit(_width, _height)


func _set_state(new_state: int) -> void:
	if new_state != state:
		state = new_state
		state_changed.emit(state)
