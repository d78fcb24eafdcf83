#include "frame_channel.h"

#include <utility>

#include "clock.h"
#include "text.h"

namespace bunraku {

using Lock = std::lock_guard<std::mutex>;

FrameChannel::FrameChannel(std::string wanted_stream, LastError &last_error)
    : wanted_stream_(std::move(wanted_stream)), last_error_(last_error), stream_(wanted_stream_) {
    told_.encoding = BUNRAKU_RAW;
}

Outcome FrameChannel::read(const Bytes *parts, std::size_t count, std::int64_t now_ns, Topic &topic, Header &header) {
    const Lock lock(mutex_);
    Rejection why;
    if (count < MIN_PARTS || count > MAX_PARTS) {
        why.because("parts", "a message of %zu parts; %zu to %zu are possible", count, MIN_PARTS, MAX_PARTS);
        note_bad(why, now_ns);
        return Outcome::dropped;
    }
    if (!split_topic(parts[0], topic, why)) {
        note_bad(why, now_ns);
        return Outcome::dropped;
    }
    if (topic.major != MAJOR) {
        why.because("version", "the producer speaks avf/%u, this client avf/%u; update the older one", topic.major,
                    MAJOR);
        liveness_.incompatible();
        ++told_.bad;
        last_error_.note(why.code, why.text);
        return Outcome::dropped;
    }
    if (encoding_of_variant(topic.variant) == 0 || (!stream_.empty() && topic.stream != stream_)) {
        version_is_ours_ = true;
        return Outcome::ignored;
    }
    if (!read_header(parts, count, header, why)) {
        note_bad(why, now_ns);
        return Outcome::dropped;
    }
    return read_ours(topic, now_ns, header);
}

Outcome FrameChannel::read_ours(const Topic &topic, std::int64_t now_ns, const Header &header) {
    version_is_ours_ = false;
    if (header.kind == Kind::bye) {
        if (order_.heard() && header.session == order_.session()) {
            liveness_.bye();
        }
        return Outcome::bye;
    }
    stream_ = topic.stream;
    copy_text(topic.stream, told_.stream);
    note_provenance(header);
    if (header.kind == Kind::heartbeat) {
        order_.is_new_session(header.session);
        liveness_.heartbeat(now_ns);
        clock_correction_ns_ = clock_correction_ns(header.has_unix_offset, header.unix_offset_ns);
        if (header.has_stats) {
            told_.producer_fps = header.fps;
            told_.producer_engine_ms_p50 = header.engine_ms_p50;
            copy_text(header.stats_provider, told_.provider);
        }
        return Outcome::heartbeat;
    }
    if (!order_.would_be_news(header.session, header.id)) {
        liveness_.good(now_ns);
        ++told_.late;
        return Outcome::late;
    }
    order_before_ = order_;
    order_.take(header.session, header.id);
    return Outcome::news;
}

void FrameChannel::shown(const Header &header, std::int64_t now_ns, bool replaced_untaken) {
    const Lock lock(mutex_);
    liveness_.good(now_ns);
    told_.skipped += replaced_untaken ? 1 : 0;
    note_arrival(header, now_ns);
}

void FrameChannel::overtaken(const Header &header, std::int64_t now_ns) {
    const Lock lock(mutex_);
    liveness_.good(now_ns);
    ++told_.skipped;
    note_arrival(header, now_ns);
}

void FrameChannel::undecodable(const Header &header, const Rejection &why, std::int64_t now_ns) {
    const Lock lock(mutex_);
    // It may come again, and then be whole; but only if nothing else has come since.
    if (order_.is_last(header.session, header.id)) {
        order_ = order_before_;
    }
    note_bad(why, now_ns);
}

std::int64_t FrameChannel::take_pause() {
    const Lock lock(mutex_);
    return std::exchange(pause_ms_, 0);
}

bool FrameChannel::should_probe(std::int64_t now_ns) {
    const Lock lock(mutex_);
    const bool lost = liveness_.state(now_ns) == BUNRAKU_LOST;
    if (lost) {
        stream_ = wanted_stream_;
    }
    return lost && !version_is_ours_;
}

std::int64_t FrameChannel::refused(const std::string &code, const std::string &text, std::int64_t now_ns) {
    const Lock lock(mutex_);
    last_error_.note(code, text);
    return liveness_.refused(now_ns);
}

std::int64_t FrameChannel::flooded(const std::string &text, std::int64_t now_ns) {
    const Lock lock(mutex_);
    last_error_.note("", text);
    return liveness_.flooded(now_ns);
}

void FrameChannel::use(std::uint32_t encoding) {
    const Lock lock(mutex_);
    told_.encoding = encoding;
}

bunraku_state FrameChannel::state(std::int64_t now_ns) const {
    const Lock lock(mutex_);
    return liveness_.state(now_ns);
}

std::string FrameChannel::stream() const {
    const Lock lock(mutex_);
    return stream_;
}

std::uint64_t FrameChannel::session() const {
    const Lock lock(mutex_);
    return order_.session();
}

std::int64_t FrameChannel::clock_correction() const {
    const Lock lock(mutex_);
    return clock_correction_ns_;
}

void FrameChannel::fill(bunraku_status &status, std::int64_t now_ns) const {
    Durations ages;
    {
        const Lock lock(mutex_);
        status = told_;
        status.state = static_cast<std::uint32_t>(liveness_.state(now_ns));
        status.session = order_.session();
        status.missed = order_.missed();
        status.reconnects = liveness_.reconnects();
        ages = ages_at_arrival_;
    }
    const Percentiles arrival = ages.percentiles();
    status.age_arrival_ms_p50 = arrival.p50_ms;
    status.age_arrival_ms_p99 = arrival.p99_ms;
    last_error_.fill(status);
}

void FrameChannel::note_arrival(const Header &header, std::int64_t now_ns) {
    ++told_.received;
    if (told_.provider[0] == '\0') {
        copy_text(header.provider, told_.provider);
    }
    if (header.publish_ns != 0) {
        ages_at_arrival_.add(age_ns(now_ns, header.publish_ns, clock_correction_ns_));
    }
}

void FrameChannel::note_provenance(const Header &header) {
    if (!header.has_provenance) {
        return;
    }
    told_.made_by_ai = header.provenance.ai ? 1 : 0;
    copy_text(header.provenance.generator, told_.generator);
    copy_text(header.provenance.source, told_.source);
    copy_text(header.provenance.model, told_.model);
}

void FrameChannel::note_bad(const Rejection &why, std::int64_t now_ns) {
    ++told_.bad;
    last_error_.note(why.code, why.text);
    const std::int64_t pause_ms = liveness_.bad(now_ns);
    pause_ms_ = pause_ms != 0 ? pause_ms : pause_ms_;
}

} // namespace bunraku
