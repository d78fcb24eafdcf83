# A small game that a test drives: a receiver, a control and a sprite over a background, told what to do line by line.
#
#     BUNRAKU_TEST_PORT   where the test listens on 127.0.0.1
#
# A line from the test is a JSON array [what, ...]; every line from here is a JSON object of how things stand.
extends SceneTree

const Receiver = preload("res://addons/bunraku/godot3/bunraku_receiver.gd")
const Control3 = preload("res://addons/bunraku/godot3/bunraku_control.gd")

var test = StreamPeerTCP.new()
var heard = ""
var receiver = null
var control = null
var background = Sprite.new()
var character = Sprite.new()
var states = []
var sizes = []
var seen = 0  # frames of the game
var pause_ms = 0
var shot_path = ""
var shot_in = -1  # frames of the game until the picture is taken


func _init():
	Engine.target_fps = 60
	root.add_child(background)
	root.add_child(character)
	background.centered = false
	character.centered = false
	character.position = Vector2(32, 32)
	test.connect_to_host("127.0.0.1", int(OS.get_environment("BUNRAKU_TEST_PORT")))


func _idle(_delta):
	seen += 1
	if pause_ms > 0:
		OS.delay_msec(pause_ms)
	if test.get_status() != StreamPeerTCP.STATUS_CONNECTED:
		if test.get_status() != StreamPeerTCP.STATUS_CONNECTING:
			quit()
		return
	var waiting = test.get_available_bytes()
	if waiting > 0:
		heard += test.get_partial_data(waiting)[1].get_string_from_utf8()
	while heard.find("\n") >= 0:
		var line = heard.substr(0, heard.find("\n"))
		heard = heard.substr(line.length() + 1, heard.length())
		obey(JSON.parse(line).result)
	if shot_in >= 0:
		shot_in -= 1
		if shot_in < 0:
			save_screenshot()
	if seen % 6 == 0 or pause_ms > 0:
		say(how_things_stand())


func obey(words) -> void:
	match words[0]:
		"receive":
			receiver = Receiver.new()
			receiver.endpoint = words[1]
			receiver.stream = words[2]
			receiver.connect("state_changed", self, "note_state")
			receiver.connect("size_changed", self, "note_size")
			character.texture = receiver.texture
			root.add_child(receiver)
		"control":
			control = Control3.new()
			root.add_child(control)
			control.receiver = control.get_path_to(receiver)
		"background":
			var image = Image.new()
			image.load(words[1])
			var texture = ImageTexture.new()
			texture.create_from_image(image, 0)
			background.texture = texture
		"shot":
			shot_path = words[1]
			shot_in = 2
		"slow":
			pause_ms = int(words[1])
		"hold":
			control.wanted.hold(words[1], words[2])
		"release":
			control.wanted.release(words[1])
		"release_all":
			control.wanted.release_all()
		"express":
			control.wanted.express(words[1])
		"become":
			control.wanted.become(int(words[1]) if typeof(words[1]) == TYPE_REAL else words[1])
		"look":
			add_gaze(Vector2(words[1], words[2]))
		"look_3d":
			add_gaze_3d(Vector3(words[1], words[2], words[3]))
		"endpoint":
			receiver.endpoint = words[1]
		"quit":
			if receiver != null:
				receiver.disconnect("state_changed", self, "note_state")
			quit()


func add_gaze(at: Vector2) -> void:
	var player = Node2D.new()
	player.position = at
	root.add_child(player)
	control.eyes = control.get_path_to(character)
	control.gaze_target = control.get_path_to(player)


func add_gaze_3d(at: Vector3) -> void:
	var face = Spatial.new()
	var player = Spatial.new()
	root.add_child(face)
	root.add_child(player)
	player.translation = at
	control.eyes = control.get_path_to(face)
	control.gaze_target = control.get_path_to(player)


func save_screenshot() -> void:
	var picture = root.get_texture().get_data()
	picture.flip_y()
	picture.convert(Image.FORMAT_RGB8)
	picture.save_png(shot_path)
	say({"shot": shot_path})


func note_state(_state) -> void:
	states.append(receiver.state_name())


func note_size(width, height) -> void:
	sizes.append([width, height])


func how_things_stand():
	var told = {"seen": seen, "memory": OS.get_static_memory_usage()}
	if receiver != null:
		told["state"] = receiver.state_name()
		told["states"] = states
		told["sizes"] = sizes
		told["frame"] = receiver.frame_id
		told["latency_ms"] = receiver.latency_ms
		told["error"] = receiver.last_error()
		if receiver.client != null:
			told["session"] = str(receiver.client.session())
			told["stream"] = receiver.client.stream
			told["counts"] = {
				"received": receiver.client.received,
				"shown": receiver.client.shown,
				"skipped": receiver.client.skipped,
				"late": receiver.client.late(),
				"missed": receiver.client.missed(),
				"reconnects": receiver.client.reconnects(),
				"bad": receiver.client.bad
			}
	if control != null:
		told["control"] = {
			"state": control.state_name(),
			"error": control.last_error,
			"character": control.info["character"] if control.info != null else "",
			"photon_ms": control.motion_to_photon_ms,
			"sent": control.client.sent if control.client != null else 0
		}
	return told


func say(what) -> void:
	test.put_data((JSON.print(what) + "\n").to_utf8())
