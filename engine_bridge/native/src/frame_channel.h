// What a client makes of the messages of the frame channel, one after another: which are news, how the producer stands,
// what to tell people. Knows no socket and decodes nothing. Everything here may be read from any thread; only the
// receiver thread changes it.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>

#include "bunraku/client.h"
#include "header.h"
#include "last_error.h"
#include "liveness.h"
#include "statistics.h"

namespace bunraku {

enum class Outcome { news, heartbeat, bye, late, ignored, dropped };

class FrameChannel {
public:
    // wanted_stream: empty takes the first one heard, and another one only when that is gone.
    FrameChannel(std::string wanted_stream, LastError &last_error);

    // Reads a message. A frame that is news (Outcome::news) is to be reported with shown(), overtaken() or
    // undecodable(). `topic` and `header` point into the message.
    Outcome read(const Bytes *parts, std::size_t count, std::int64_t now_ns, Topic &topic, Header &header);

    // What became of the frame that was the last news: it is in the box (having replaced one that nobody took or not),
    // a newer one came before it was decoded or its pixels were gone, or it could not be decoded.
    void shown(const Header &header, std::int64_t now_ns, bool replaced_untaken);
    void overtaken(const Header &header, std::int64_t now_ns);
    void undecodable(const Header &header, const Rejection &why, std::int64_t now_ns);

    // Milliseconds to pause before reconnecting, if what came lately makes that necessary, else 0. Asking clears it.
    std::int64_t take_pause();

    // Whether topics of all major versions should be listened to; to be asked now and then.
    bool should_probe(std::int64_t now_ns);

    // The connection cannot be used: the producer did not take it (code "key"), or sends what never ends ("parts").
    // Returns milliseconds to pause before connecting again.
    std::int64_t refused(const std::string &code, const std::string &text, std::int64_t now_ns);

    // More messages waited at once than any producer sends. Returns milliseconds to pause before connecting again.
    std::int64_t flooded(const std::string &text, std::int64_t now_ns);

    // Something outside of any message went wrong.
    void note_failure(const std::string &text) { last_error_.note("", text); }

    void use(std::uint32_t encoding);

    bunraku_state state(std::int64_t now_ns) const;
    std::string stream() const; // wanted or heard, empty before that
    std::uint64_t session() const;
    std::int64_t clock_correction() const;
    void fill(bunraku_status &status, std::int64_t now_ns) const;

private:
    Outcome read_ours(const Topic &topic, std::int64_t now_ns, const Header &header);
    void note_arrival(const Header &header, std::int64_t now_ns);
    void note_provenance(const Header &header);
    void note_bad(const Rejection &why, std::int64_t now_ns);

    const std::string wanted_stream_;
    LastError &last_error_;

    mutable std::mutex mutex_;
    Liveness liveness_;
    FrameOrder order_;
    FrameOrder order_before_; // the last news
    std::string stream_;
    bool version_is_ours_ = false; // whether any stream of our version was heard since the wanted one was
    std::int64_t pause_ms_ = 0;
    std::int64_t clock_correction_ns_ = 0;
    bunraku_status told_{}; // counters and texts, in the form they are asked for
    Durations ages_at_arrival_;
};

} // namespace bunraku
