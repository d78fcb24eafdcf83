#include <zmq.h>

#include <cerrno>

#include "check.h"
#include "handshake.h"
#include "liveness.h"
#include "statistics.h"

using namespace bunraku;

namespace {

constexpr std::int64_t MS = 1'000'000;

} // namespace

TEST("liveness", "silence makes a stream stale, then lost") {
    Liveness liveness;
    CHECK_EQUAL(liveness.state(0), BUNRAKU_LOST);
    liveness.good(0);
    CHECK_EQUAL(liveness.state(1499 * MS), BUNRAKU_LIVE);
    CHECK_EQUAL(liveness.state(1500 * MS), BUNRAKU_STALE);
    CHECK_EQUAL(liveness.state(4999 * MS), BUNRAKU_STALE);
    CHECK_EQUAL(liveness.state(5000 * MS), BUNRAKU_LOST);
}

TEST("liveness", "thirty bad messages in a row are an error, with growing pauses") {
    Liveness liveness;
    std::int64_t expected_ms = 250;
    for (int round = 0; round < 6; ++round) {
        for (int i = 0; i < 29; ++i) {
            CHECK_EQUAL(liveness.bad(round * MS), 0);
        }
        CHECK_EQUAL(liveness.bad(round * MS), expected_ms);
        CHECK_EQUAL(liveness.state(round * MS), BUNRAKU_ERROR);
        expected_ms = expected_ms * 2 < 4000 ? expected_ms * 2 : 4000;
    }
    CHECK_EQUAL(liveness.reconnects(), 6u);
    liveness.good(10 * MS);
    CHECK_EQUAL(liveness.state(10 * MS), BUNRAKU_LIVE);
}

TEST("liveness", "two seconds of nothing but bad messages are an error; a heartbeat alone excuses nothing") {
    Liveness liveness;
    liveness.good(0);
    CHECK_EQUAL(liveness.bad(100 * MS), 0);
    liveness.heartbeat(1000 * MS);
    CHECK(liveness.bad(2100 * MS) > 0);
    liveness.heartbeat(2200 * MS);
    CHECK_EQUAL(liveness.state(2200 * MS), BUNRAKU_ERROR);
    liveness.heartbeat(4100 * MS);
    CHECK_EQUAL(liveness.state(4100 * MS), BUNRAKU_LIVE);
}

TEST("liveness", "refused keys are an error until something good comes, or nothing for five seconds") {
    Liveness liveness;
    CHECK_EQUAL(liveness.refused(0), 250);
    CHECK_EQUAL(liveness.refused(1000 * MS), 500);
    CHECK_EQUAL(liveness.state(5999 * MS), BUNRAKU_ERROR);
    CHECK_EQUAL(liveness.state(6000 * MS), BUNRAKU_LOST);
    liveness.good(7000 * MS);
    CHECK_EQUAL(liveness.state(7000 * MS), BUNRAKU_LIVE);
    CHECK_EQUAL(liveness.refused(8000 * MS), 250);
}

TEST("liveness", "hang-ups count only in a row, and only with keys") {
    const std::string endpoint = "tcp://127.0.0.1:1";
    const HandshakeEvent hang_up{ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL, EPIPE};
    HandshakeJudge judge("own", "server");
    CHECK_EQUAL(judge.refusal_in(hang_up, endpoint), "");
    CHECK_EQUAL(judge.refusal_in(hang_up, endpoint), "");
    CHECK_EQUAL(judge.refusal_in({ZMQ_EVENT_HANDSHAKE_SUCCEEDED, 0}, endpoint), "");
    CHECK_EQUAL(judge.refusal_in(hang_up, endpoint), "");
    CHECK_EQUAL(judge.refusal_in({ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL, EAGAIN}, endpoint), "");
    CHECK_EQUAL(judge.refusal_in(hang_up, endpoint), "");
    CHECK(judge.refusal_in(hang_up, endpoint).find("server") != std::string::npos);
    HandshakeJudge keyless("", "");
    for (int i = 0; i < 10; ++i) {
        CHECK_EQUAL(keyless.refusal_in(hang_up, endpoint), "");
    }
    CHECK(!keyless.refusal_in({ZMQ_EVENT_HANDSHAKE_FAILED_AUTH, 500}, endpoint).empty());
}

TEST("liveness", "another version and a bye") {
    Liveness liveness;
    liveness.good(0);
    liveness.incompatible();
    CHECK_EQUAL(liveness.state(1), BUNRAKU_INCOMPATIBLE);
    liveness.heartbeat(2);
    CHECK_EQUAL(liveness.state(2), BUNRAKU_LIVE);
    liveness.bye();
    CHECK_EQUAL(liveness.state(3), BUNRAKU_LOST);
}

TEST("liveness", "numbers must rise within a session; gaps are counted") {
    FrameOrder order;
    CHECK(!order.heard());
    CHECK(order.would_be_news(1, 0));
    order.take(1, 0);
    CHECK(!order.would_be_news(1, 0));
    order.take(1, 4);
    CHECK_EQUAL(order.missed(), 3u);
    CHECK(order.would_be_news(2, 1));
    CHECK(order.is_new_session(2));
    CHECK(!order.is_new_session(2));
    order.take(2, 100);
    CHECK_EQUAL(order.missed(), 3u);
}

TEST("liveness", "percentiles are of the last 1024 durations") {
    Durations durations;
    CHECK(!(durations.percentiles().p50_ms >= 0.0));
    durations.add(3 * MS);
    CHECK_EQUAL(durations.percentiles().p99_ms, 3.0);
    durations.add(5 * MS);
    CHECK_EQUAL(durations.percentiles().p50_ms, 4.0);
    for (int i = 0; i < 1024; ++i) {
        durations.add(i * MS);
    }
    CHECK_EQUAL(durations.percentiles().p50_ms, 511.5);
    CHECK(durations.percentiles().p99_ms > 1012.0 && durations.percentiles().p99_ms < 1013.0);
}

TEST("liveness", "a silent connection is given up after ten seconds of being awake, then after twice as many") {
    Patience patience;
    std::int64_t now = 1;
    const auto seconds_until_over = [&] {
        const std::int64_t begun = now;
        do {
            now += 250 * MS;
        } while (!patience.is_over(now));
        return (now - begun) / (1000 * MS);
    };
    CHECK_EQUAL(patience.is_over(now), false);
    for (const std::int64_t expected : {10, 20, 40, 40}) {
        CHECK_EQUAL(seconds_until_over(), expected);
    }
    patience.heard();
    now += 60'000 * MS; // suspended: counts as half a second
    CHECK_EQUAL(patience.is_over(now), false);
    CHECK_EQUAL(seconds_until_over(), 9);
    CHECK_EQUAL(seconds_until_over(), 20);
}
