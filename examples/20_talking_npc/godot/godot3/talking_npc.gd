# A character that says a line: her mouth follows the letters, her mood follows marks in the text, her eyes the mouse.
extends Node2D

const Speech = preload("res://addons/bunraku/core/bunraku_speech.gd")

const LINE = (
	"[happy] Hello, traveller! [relaxed] The road to the old mill is quiet today. "
	+ "[surprised] Oh! Is that a map?"
)

var speech = null  # the line that she is saying, null while she is silent
var began_ms = 0
var has_spoken = false


func _process(_delta):
	$Player.position = get_global_mouse_position()
	$Told.text = "" if $Receiver.state == $Receiver.LIVE else "%s %s" % [$Receiver.state_name(), $Receiver.last_error()]
	if $Control.info != null and not has_spoken or Input.is_action_just_pressed("ui_select"):
		has_spoken = true
		speech = Speech.new(LINE)
		began_ms = OS.get_ticks_msec()
	if speech != null:
		speak(OS.get_ticks_msec() - began_ms)


func speak(t_ms: int) -> void:
	var mouth = speech.mouth_at(t_ms)
	for viseme in mouth:
		$Control.wanted.hold(viseme, mouth[viseme])
	$Control.wanted.express(speech.expression_at(t_ms))
	if speech.is_over(t_ms):
		speech = null
		for viseme in mouth:
			$Control.wanted.release(viseme)
