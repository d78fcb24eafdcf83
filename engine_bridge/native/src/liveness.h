// How a client judges its producer: alive, silent, gone, talking nonsense. Pure: time is an argument. Twin of
// engine_bridge/client/liveness.py, whose picture of the states holds here too.
#pragma once

#include <cstdint>

#include "bunraku/client.h"

namespace bunraku {

constexpr std::int64_t STALE_AFTER_NS = 1'500'000'000;

class Liveness {
public:
    bunraku_state state(std::int64_t now_ns) const;

    // A frame (or, on the control channel, an answer) came that can be used.
    void good(std::int64_t now_ns);

    // The producer is there; that alone does not excuse bad frames of the last two seconds.
    void heartbeat(std::int64_t now_ns);

    // Something came that cannot be used. Returns milliseconds to wait before reconnecting, or 0 to go on.
    std::int64_t bad(std::int64_t now_ns);

    // The producer refused the connection: the keys do not fit. Returns milliseconds to wait before reconnecting.
    std::int64_t refused(std::int64_t now_ns);

    // More came at once than any producer sends. Returns milliseconds to wait before connecting again.
    std::int64_t flooded(std::int64_t now_ns) { return refused(now_ns); }

    // The producer speaks another major version.
    void incompatible() { incompatible_ = true; }

    // The producer has left on purpose.
    void bye();

    std::uint64_t reconnects() const { return reconnects_; }

private:
    std::int64_t fail();
    void forget_bad();

    static constexpr std::int64_t NEVER = INT64_MIN;
    static constexpr std::int64_t FIRST_PAUSE_MS = 250;

    std::uint64_t reconnects_ = 0;
    std::int64_t heard_ns_ = NEVER; // last message of any worth; NEVER before the first and after a bye
    int bad_in_a_row_ = 0;
    std::int64_t first_bad_ns_ = NEVER;
    std::int64_t last_bad_ns_ = NEVER;
    bool failing_ = false;
    bool incompatible_ = false;
    std::int64_t pause_ms_ = FIRST_PAUSE_MS;
};

// How long a client waits on a connection that libzmq believes in and on which nothing comes: ten seconds, then twice
// as long each time, up to forty, until something is heard. engine_bridge/client/liveness.py says why.
class Patience {
public:
    // Something came, good or bad.
    void heard();

    // Looks at the clock, a few times a second; says whether to connect again, and starts to wait for that. Only time
    // in which the client was awake counts: what came while it was suspended is still to be read.
    bool is_over(std::int64_t now_ns);

private:
    static constexpr std::int64_t FIRST_NS = 10'000'000'000;

    std::int64_t silent_ns_ = 0;
    std::int64_t patience_ns_ = FIRST_NS;
    std::int64_t looked_ns_ = 0; // 0 before the first look
};

// Which frames are news: strictly rising numbers within a session, anything in a new session.
class FrameOrder {
public:
    // Notes the session; says whether it differs from the one before.
    bool is_new_session(std::uint64_t session);

    // Whether the frame is newer than all before it. Notes nothing.
    bool would_be_news(std::uint64_t session, std::uint64_t id) const;

    // Notes a frame that is news.
    void take(std::uint64_t session, std::uint64_t id);

    // Whether that frame was the last one taken.
    bool is_last(std::uint64_t session, std::uint64_t id) const {
        return has_frame_ && session == session_ && id == last_id_;
    }

    bool heard() const { return heard_; }
    std::uint64_t session() const { return session_; } // 0 until heard
    std::uint64_t missed() const { return missed_; }   // gaps in the numbers, summed over all sessions

private:
    bool heard_ = false;
    std::uint64_t session_ = 0;
    bool has_frame_ = false; // of this session
    std::uint64_t last_id_ = 0;
    std::uint64_t missed_ = 0;
};

} // namespace bunraku
