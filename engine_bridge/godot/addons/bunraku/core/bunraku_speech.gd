# What a text does to a mouth and a mood: the rules of examples/20_talking_npc/README.md. Pure: time is an argument.

const Bytes = preload("bytes.gd")

const VISEMES = ["aa", "ih", "ou", "ee", "oh"]
const VOWELS = {"a": "aa", "e": "ee", "i": "ih", "o": "oh", "u": "ou", "y": "ih"}
const VOWEL_MS = 90
const CLOSED_LIPS_MS = 70  # m, b, p
const CONSONANT_MS = 60
const SPACE_MS = 40
const COMMA_MS = 220
const STOP_MS = 380
const GLIDE_MS = 40  # the mouth is the mean of its targets so long before and after
const CONSONANT_WEIGHT = 0.4

var duration_ms = 0  # until the last letter has been spoken
var end_ms = 0  # when the mouth has closed; from here on the expression fades to none

var _starts_ms = []  # of each letter that lasts
var _ends_ms = []
var _visemes = []  # name, or empty for a closed mouth
var _weights = []
var _marks_ms = []
var _marks = []  # names of expressions; the empty one fades to none


# A line to speak, beginning at time 0.
func _init(text):
	var bytes = Bytes.utf8(text)
	var vowel = ""
	var at = 0
	while at < bytes.size():
		var letter = char(bytes[at]).to_lower() if bytes[at] < 0x80 else ""
		if letter == "[":
			at = _read_mark(bytes, at)
		elif VOWELS.has(letter):
			vowel = VOWELS[letter]
			_add(VOWEL_MS, vowel, 1.0)
		elif letter == "m" or letter == "b" or letter == "p":
			_add(CLOSED_LIPS_MS, "", 0.0)
		elif bytes[at] < 0x80 and letter >= "a" and letter <= "z":
			_add(CONSONANT_MS, vowel, CONSONANT_WEIGHT)
		elif letter == " " or letter == "\t" or letter == "\n":
			_add(SPACE_MS, "", 0.0)
		elif letter == "," or letter == ";" or letter == ":":
			_add(COMMA_MS, "", 0.0)
		elif letter == "." or letter == "!" or letter == "?":
			_add(STOP_MS, "", 0.0)
		at += 1
	end_ms = duration_ms + GLIDE_MS


# Weights of all five visemes at a time, by name.
func mouth_at(t_ms: float):
	var mouth = {}
	for viseme in VISEMES:
		mouth[viseme] = 0.0
	for i in range(_starts_ms.size()):
		var overlap_ms = min(_ends_ms[i], t_ms + GLIDE_MS) - max(_starts_ms[i], t_ms - GLIDE_MS)
		if overlap_ms > 0 and _visemes[i] != "":
			mouth[_visemes[i]] += _weights[i] * overlap_ms / (2.0 * GLIDE_MS)
	return mouth


# The expression at a time: null while it is left alone, the empty text while it fades to none.
func expression_at(t_ms: float):
	if t_ms >= end_ms:
		return ""
	var expression = null
	for i in range(_marks_ms.size()):
		if _marks_ms[i] <= t_ms:
			expression = _marks[i]
	return expression


# Whether the line is over at a time.
func is_over(t_ms: float) -> bool:
	return t_ms >= end_ms


# Reads [name] and returns where its ] stands; a [ without one is like any other sign that lasts nothing.
func _read_mark(bytes, at: int) -> int:
	var end = at + 1
	while end < bytes.size() and bytes[end] != 0x5D:
		end += 1
	if end == bytes.size():
		return at
	_marks_ms.append(duration_ms)
	_marks.append(Bytes.part(bytes, at + 1, end - at - 1).get_string_from_utf8())
	return end


func _add(length_ms: int, viseme: String, weight: float) -> void:
	_starts_ms.append(duration_ms)
	duration_ms += length_ms
	_ends_ms.append(duration_ms)
	_visemes.append(viseme)
	_weights.append(weight)
