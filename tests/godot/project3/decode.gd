# Runs the client's own functions on files, without a window or a connection. What to do is in the environment:
#
#     BUNRAKU_TEST_TASK=conformance|mutate|speech|verbs    BUNRAKU_TEST_IN=folder or file    BUNRAKU_TEST_OUT=file
#
# Answers are lines of JSON; tests compare them with what is right.
extends SceneTree

const AvfMessage = preload("res://addons/bunraku/core/avf_message.gd")
const FrameClient = preload("res://addons/bunraku/core/frame_client.gd")
const Liveness = preload("res://addons/bunraku/core/liveness.gd")
const Pixels = preload("res://addons/bunraku/core/pixels.gd")
const Speech = preload("res://addons/bunraku/core/bunraku_speech.gd")
const Wanted = preload("res://addons/bunraku/core/wanted.gd")

var out = File.new()


func _init():
	var from = OS.get_environment("BUNRAKU_TEST_IN")
	out.open(OS.get_environment("BUNRAKU_TEST_OUT"), File.WRITE)
	match OS.get_environment("BUNRAKU_TEST_TASK"):
		"conformance":
			run_conformance(from)
		"mutate":
			run_mutations(from)
		"speech":
			run_speech(from)
		"verbs":
			run_verbs(from)
	out.close()
	quit()


func say(what) -> void:
	out.store_line(JSON.print(what))


func read_bytes(path: String) -> PoolByteArray:
	var file = File.new()
	if file.open(path, File.READ) != OK:
		return PoolByteArray()
	var bytes = file.get_buffer(file.get_len())
	file.close()
	return bytes


# Every case to a fresh client; one line per message.
func run_conformance(folder: String) -> void:
	var cases = Directory.new()
	cases.open(folder)
	cases.list_dir_begin(true, true)
	var name = cases.get_next()
	while name != "":
		replay(folder + "/" + name, name)
		name = cases.get_next()


func replay(folder: String, name: String) -> void:
	var client = FrameClient.new(["127.0.0.1", 1], "")
	var index = 0
	while File.new().file_exists("%s/%d.0.bin" % [folder, index]):
		var parts = []
		while File.new().file_exists("%s/%d.%d.bin" % [folder, index, parts.size()]):
			parts.append(read_bytes("%s/%d.%d.bin" % [folder, index, parts.size()]))
		var now_ns = index + 1
		var told = {"case": name, "message": index, "result": client.judge(parts, now_ns)}
		told["state"] = Liveness.NAMES[client.state(now_ns)]
		var frame = client.take(0)
		if frame != null:
			for key in ["stream", "id", "ses", "w", "h", "eng", "tc", "tr", "tp", "ca", "ct"]:
				told[key] = str(frame[key])
			var hash_of = HashingContext.new()
			hash_of.start(HashingContext.HASH_SHA256)
			hash_of.update(Pixels.rgba_of(frame))
			told["sha256"] = hash_of.finish().hex_encode()
		say(told)
		index += 1


# Messages from a file (u32 parts, then u32 length and bytes of each), each with bytes turned, cut or repeated,
# BUNRAKU_TEST_COUNT in all; then the untouched messages once more.
func run_mutations(path: String) -> void:
	var messages = read_messages(path)
	var random = RandomNumberGenerator.new()
	random.seed = 20
	var client = FrameClient.new(["127.0.0.1", 1], "aki")
	var results = {}
	var memory_before = 0
	var count = int(OS.get_environment("BUNRAKU_TEST_COUNT"))
	for i in range(count):
		if i == count / 10:
			memory_before = OS.get_static_memory_usage()
		var result = client.judge(mutated(messages[i % messages.size()], random), i)
		client.take(0)
		results[result] = results.get(result, 0) + 1
	var memory_after = OS.get_static_memory_usage()
	var fresh = FrameClient.new(["127.0.0.1", 1], "")
	var untouched = []
	for parts in messages:
		untouched.append(fresh.judge(parts, count))
	say({"results": results, "grown": memory_after - memory_before, "untouched": untouched})


func mutated(parts, random):
	var changed = []
	for part in parts:
		changed.append(part)
	for _i in range(random.randi_range(1, 3)):
		# Mostly the header: it has the most to get wrong.
		var which = 1 if random.randi_range(0, 3) > 0 else random.randi_range(0, changed.size() - 1)
		var bytes = changed[which]
		var at = random.randi_range(0, int(max(bytes.size() - 1, 0)))
		match random.randi_range(0, 5):
			0, 1, 2:
				if bytes.size() > 0:
					bytes[at] = random.randi_range(0, 255)
			3:
				bytes.resize(at)
			4:
				bytes.append_array(bytes.subarray(at, bytes.size() - 1) if bytes.size() > 0 else PoolByteArray([1]))
			5:
				changed.append(bytes)
		changed[which] = bytes
	return changed


func read_messages(path: String):
	var file = File.new()
	file.open(path, File.READ)
	var messages = []
	while file.get_position() < file.get_len():
		var parts = []
		for _i in range(file.get_32()):
			parts.append(file.get_buffer(file.get_32()))
		messages.append(parts)
	return messages


# Lines of a speech.txt; each `t_ms ...` is answered by what the script makes of that moment, in the same form.
func run_speech(path: String) -> void:
	var speech = null
	for line in read_bytes(path).get_string_from_utf8().split("\n"):
		if line.begins_with("text="):
			speech = Speech.new(line.substr(5, line.length()).replace("\\t", "\t").replace("\\n", "\n"))
			out.store_line(line)
		elif line != "":
			var t_ms = int(line.split(" ")[0])
			var mouth = speech.mouth_at(t_ms)
			var expression = speech.expression_at(t_ms)
			if expression == null:
				expression = "-"
			elif expression == "":
				expression = "~"
			var weights = ""
			for viseme in Speech.VISEMES:
				weights += " %.4f" % mouth[viseme]
			out.store_line("%d%s %s" % [t_ms, weights, expression])


# A verbs.txt, its states replaced by what the script makes of the verbs; the same file if all is well.
func run_verbs(path: String) -> void:
	var wanted = Wanted.new()
	for line in read_bytes(path).get_string_from_utf8().split("\n"):
		var key = line.split("=")[0]
		var words = line.substr(key.length() + 1, line.length()).split(" ")
		match key:
			"case":
				wanted = Wanted.new()
				out.store_line(line)
			"do", "refuse":
				obey(wanted, words)
				out.store_line(line)
			"sent":
				out.store_line("sent=yes" if wanted.has_changed else "sent=no")
				if wanted.has_changed:
					store_state(wanted.as_set())


func obey(wanted, words) -> void:
	var name = words[1].replace("~", "") if words.size() > 1 else ""
	var number = number_of(words[words.size() - 1])
	match words[0]:
		"hold":
			wanted.hold(name, number)
		"release":
			wanted.release(name)
		"release_all":
			wanted.release_all()
		"become":
			wanted.become(name)
		"become_seed":
			wanted.become(int(name))
		"leave_identity":
			wanted.become(null)
		"mix":
			wanted.mix(name, number)
		"mix_seed":
			wanted.mix(int(name), number)
		"end_mix":
			wanted.mix(null, 0.0)
		"truncate":
			wanted.truncate(number)
		"leave_truncation":
			wanted.truncate(null)
		"express":
			wanted.express(name)
		"leave_expression":
			wanted.express(null)
		"calibrate":
			wanted.calibrate()
		_:
			out.store_line("there is no verb %s" % words[0])


func number_of(word: String) -> float:
	return {"nan": NAN, "inf": INF, "-inf": -INF}.get(word, float(word))


func store_state(state) -> void:
	var controls = state["ex"].keys()
	controls.sort()
	for control in controls:
		out.store_line("ex.%s=%.4f" % [control, state["ex"][control]])
	if state.has("who"):
		out.store_line("who=%s" % person(state["who"]))
	if state.has("mix"):
		out.store_line("mix=%s %.4f" % [person(state["mix"]["who"]), state["mix"]["amount"]])
	if state.has("psi"):
		out.store_line("psi=%.4f" % state["psi"])
	if state.has("emo"):
		out.store_line("emo=%s" % state["emo"])
	if state.has("cal"):
		out.store_line("cal=yes")


func person(who) -> String:
	return "seed %d" % who if typeof(who) == TYPE_INT else "name %s" % who
