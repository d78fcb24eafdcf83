#include "liveness.h"

#include <algorithm>

namespace bunraku {
namespace {

constexpr std::int64_t LOST_AFTER_NS = 5'000'000'000;
constexpr int BAD_IN_A_ROW = 30;
constexpr std::int64_t BAD_FOR_NS = 2'000'000'000;
constexpr std::int64_t LONGEST_PAUSE_MS = 4000;
constexpr std::int64_t LONGEST_PATIENCE_NS = 40'000'000'000;
constexpr std::int64_t LONGEST_LOOK_NS = 500'000'000; // between two looks of a client that was awake all the time

} // namespace

bunraku_state Liveness::state(std::int64_t now_ns) const {
    if (incompatible_) {
        return BUNRAKU_INCOMPATIBLE;
    }
    if (heard_ns_ == NEVER || now_ns - heard_ns_ >= LOST_AFTER_NS) {
        const bool recently_bad = last_bad_ns_ != NEVER && now_ns - last_bad_ns_ < LOST_AFTER_NS;
        return failing_ && recently_bad ? BUNRAKU_ERROR : BUNRAKU_LOST;
    }
    if (failing_) {
        return BUNRAKU_ERROR;
    }
    return now_ns - heard_ns_ >= STALE_AFTER_NS ? BUNRAKU_STALE : BUNRAKU_LIVE;
}

void Liveness::good(std::int64_t now_ns) {
    heard_ns_ = now_ns;
    failing_ = incompatible_ = false;
    pause_ms_ = FIRST_PAUSE_MS;
    forget_bad();
}

void Liveness::heartbeat(std::int64_t now_ns) {
    if (last_bad_ns_ == NEVER || now_ns - last_bad_ns_ >= BAD_FOR_NS) {
        good(now_ns);
    }
    heard_ns_ = now_ns;
    incompatible_ = false;
}

std::int64_t Liveness::bad(std::int64_t now_ns) {
    ++bad_in_a_row_;
    last_bad_ns_ = now_ns;
    if (first_bad_ns_ == NEVER) {
        first_bad_ns_ = now_ns;
    }
    if (bad_in_a_row_ < BAD_IN_A_ROW && now_ns - first_bad_ns_ < BAD_FOR_NS) {
        return 0;
    }
    bad_in_a_row_ = 0;
    first_bad_ns_ = NEVER;
    return fail();
}

std::int64_t Liveness::refused(std::int64_t now_ns) {
    last_bad_ns_ = now_ns;
    return fail();
}

void Liveness::bye() {
    heard_ns_ = NEVER;
    failing_ = false;
    forget_bad();
}

std::int64_t Liveness::fail() {
    failing_ = true;
    ++reconnects_;
    const std::int64_t pause_ms = pause_ms_;
    pause_ms_ = std::min(2 * pause_ms_, LONGEST_PAUSE_MS);
    return pause_ms;
}

void Liveness::forget_bad() {
    bad_in_a_row_ = 0;
    first_bad_ns_ = last_bad_ns_ = NEVER;
}

void Patience::heard() {
    silent_ns_ = 0;
    patience_ns_ = FIRST_NS;
}

bool Patience::is_over(std::int64_t now_ns) {
    if (looked_ns_ != 0) {
        silent_ns_ += std::min(now_ns - looked_ns_, LONGEST_LOOK_NS);
    }
    looked_ns_ = now_ns;
    if (silent_ns_ < patience_ns_) {
        return false;
    }
    silent_ns_ = 0;
    patience_ns_ = std::min(2 * patience_ns_, LONGEST_PATIENCE_NS);
    return true;
}

bool FrameOrder::is_new_session(std::uint64_t session) {
    if (heard_ && session == session_) {
        return false;
    }
    const bool changed = heard_;
    heard_ = true;
    session_ = session;
    has_frame_ = false;
    return changed;
}

bool FrameOrder::would_be_news(std::uint64_t session, std::uint64_t id) const {
    return !heard_ || session != session_ || !has_frame_ || id > last_id_;
}

void FrameOrder::take(std::uint64_t session, std::uint64_t id) {
    is_new_session(session);
    missed_ += has_frame_ ? id - last_id_ - 1 : 0;
    has_frame_ = true;
    last_id_ = id;
}

} // namespace bunraku
