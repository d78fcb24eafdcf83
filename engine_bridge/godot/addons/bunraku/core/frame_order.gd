# Which frames are news: strictly rising numbers within a session, anything in a new session.
#
# Twin of FrameOrder in engine_bridge/client/liveness.py. Numbers are unsigned 64-bit ones in signed variables, so they are
# compared with their highest bit turned over.

const HIGHEST_BIT = 1 << 63

var session = null  # of the last frame taken, null before the first
var last_id = null  # number of the last frame taken, null before the first of the session
var late = 0  # frames that were no news
var missed = 0  # gaps in the numbers, summed over all sessions


# Notes the session; says whether it differs from the one before.
func is_new_session(new_session: int) -> bool:
	if session != null and new_session == session:
		return false
	var changed = session != null
	session = new_session
	last_id = null
	return changed


# Notes the frame; says whether it is newer than all before it.
func is_news(new_session: int, frame_id: int) -> bool:
	is_new_session(new_session)
	if last_id != null:
		if (frame_id ^ HIGHEST_BIT) <= (last_id ^ HIGHEST_BIT):
			late += 1
			return false
		missed += frame_id - last_id - 1
	last_id = frame_id
	return true
