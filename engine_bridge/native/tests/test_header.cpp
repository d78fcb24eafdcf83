#include "check.h"
#include "frame_channel.h"
#include "messages.h"

using namespace bunraku;
using messages::Frame;
using messages::Part;
using messages::raw_frame;
using messages::SentPlane;

namespace {

// "frame", "heartbeat", "bye", or the code of what is wrong.
std::string verdict(const std::vector<Part> &parts) {
    const std::vector<Bytes> views = messages::views(parts);
    Header header;
    Rejection why;
    if (!read_header(views.data(), views.size(), header, why)) {
        CHECK(why.text[0] != '\0');
        return why.code;
    }
    return header.kind == Kind::frame ? "frame" : header.kind == Kind::heartbeat ? "heartbeat" : "bye";
}

std::string verdict(const Frame &frame) { return verdict(frame.parts()); }

template <typename Bend> std::string bent(const Bend &bend) {
    Frame frame = raw_frame(1);
    bend(frame);
    return verdict(frame);
}

// A raw frame with one more key, `key: value`, given as packed msgpack.
std::string with_key(const std::string &packed) {
    return bent([&](Frame &frame) {
        frame.more = Part(packed.begin(), packed.end());
        frame.more_pairs = 1;
    });
}

std::string topic_verdict(const std::string &topic) {
    Topic parsed;
    Rejection why;
    if (!split_topic({reinterpret_cast<const std::uint8_t *>(topic.data()), topic.size()}, parsed, why)) {
        return why.code;
    }
    return std::to_string(parsed.major) + "|" + std::string(parsed.variant) + "|" + std::string(parsed.stream);
}

} // namespace

TEST("header", "topics of any version are taken apart") {
    CHECK_EQUAL(topic_verdict("avf1/aki"), "1||aki");
    CHECK_EQUAL(topic_verdict("avf1.jpeg/aki"), "1|jpeg|aki");
    CHECK_EQUAL(topic_verdict("avf12345/a-b_c.D"), "12345||a-b_c.D");
    CHECK_EQUAL(topic_verdict("avf1/" + std::string(59, 'a')), "1||" + std::string(59, 'a'));
    CHECK_EQUAL(topic_verdict("avf99999.12345678/" + std::string(59, 'a')).substr(0, 14), "99999|12345678");
}

TEST("header", "what is no topic is refused") {
    for (const char *topic : {"", "avf", "avf/aki", "avf1", "avf1/", "avf1x/aki", "avf1./aki", "avf1.JPEG/aki",
                              "avf1.123456789/aki", "avf1/a b", "avf1/a/b", "avf123456/aki", "AVF1/aki", "xavf1/aki"}) {
        CHECK_EQUAL(topic_verdict(topic), "topic");
    }
    CHECK_EQUAL(topic_verdict("avf1/" + std::string(60, 'a')), "topic");
    CHECK_EQUAL(topic_verdict(std::string("avf1/a\0b", 8)), "topic");
}

TEST("header", "a plain frame is read whole") {
    Frame frame = raw_frame(3, 5, 2);
    frame.publish_ns = -7;
    frame.control_id = 9;
    frame.control_timestamp_ns = -11;
    frame.provider = "synthetic";
    const std::vector<Part> parts = frame.parts();
    const std::vector<Bytes> views = messages::views(parts);
    Header header;
    Rejection why;
    REQUIRE(read_header(views.data(), views.size(), header, why));
    CHECK_EQUAL(header.session, 7u);
    CHECK_EQUAL(header.id, 3u);
    CHECK_EQUAL(header.width, 5u);
    CHECK_EQUAL(header.height, 2u);
    CHECK_EQUAL(header.stride, 20u);
    CHECK_EQUAL(header.publish_ns, -7);
    CHECK_EQUAL(header.control_id, 9u);
    CHECK_EQUAL(header.control_timestamp_ns, -11);
    CHECK_EQUAL(header.provider, "synthetic");
    CHECK(!header.has_checksum);
}

TEST("header", "kinds") {
    CHECK_EQUAL(verdict(messages::Heartbeat{}.parts()), "heartbeat");
    CHECK_EQUAL(verdict(messages::bye(7)), "bye");
    const std::string topic = "avf1/aki";
    const Part first(topic.begin(), topic.end());
    CHECK_EQUAL(verdict({first, Part{0x80}}), "kind");
    CHECK_EQUAL(verdict({first, Part{0x81, 0xa1, 'k', 0xa1, 'z'}}), "kind");
    CHECK_EQUAL(verdict({first, Part{0x81, 0xa1, 'k', 0x01}}), "kind");
    CHECK_EQUAL(verdict({first, Part{0x81, 0xa1, 'k', 0xa1, 'h'}}), "header");
}

TEST("header", "wrong types and ranges of known keys are refused, unknown keys are not looked at") {
    CHECK_EQUAL(with_key("\xa1"
                         "w\xa1"
                         "2"),
                "header");
    CHECK_EQUAL(bent([](Frame &frame) { frame.width = 0; }), "header");
    CHECK_EQUAL(bent([](Frame &frame) { frame.width = 8193; }), "header");
    CHECK_EQUAL(with_key("\xa2tc\xcf\xff\xff\xff\xff\xff\xff\xff\xff"), "header"); // no i64
    CHECK_EQUAL(with_key("\xa2tc\xca\x3f\x80"), "msgpack");                        // cut off
    CHECK_EQUAL(with_key("\xa2"
                         "ca\xff"),
                "header"); // negative
    CHECK_EQUAL(with_key("\xa3key\x01"), "header");
    CHECK_EQUAL(with_key("\xa3roi\x91\xff"), "header");
    CHECK_EQUAL(with_key("\xa3roi\x94\x01\x02\x03\x04"), "frame");
    CHECK_EQUAL(with_key("\xa4prov\x81\xa2"
                         "ai\x01"),
                "header");
    CHECK_EQUAL(with_key("\xa4prov\xc0"), "frame");
    CHECK_EQUAL(with_key("\xa3"
                         "eng\xc4\x01x"),
                "header");
    CHECK_EQUAL(with_key("\xa7unknown\xc4\x01x"), "frame");
}

TEST("header", "unknown formats") {
    CHECK_EQUAL(bent([](Frame &frame) { frame.format = "rgba16"; }), "format");
    CHECK_EQUAL(bent([](Frame &frame) { frame.colour_space = "p3"; }), "format");
    CHECK_EQUAL(bent([](Frame &frame) { frame.alpha_mode = "none"; }), "format");
    CHECK_EQUAL(bent([](Frame &frame) { frame.origin = "left"; }), "format");
}

TEST("header", "encodings are judged before planes, planes before sizes") {
    CHECK_EQUAL(bent([](Frame &frame) { frame.planes[0].encoding = "h264"; }), "encoding");
    CHECK_EQUAL(bent([](Frame &frame) { frame.planes[0].encoding = ""; }), "encoding");
    CHECK_EQUAL(bent([](Frame &frame) { frame.planes[0].encoding = "jpeg"; }), "encoding");
    CHECK_EQUAL(bent([](Frame &frame) { frame.planes[0].role = "depth"; }), "planes");
    CHECK_EQUAL(bent([](Frame &frame) { frame.planes[0].role = "a"; }), "planes");
    CHECK_EQUAL(bent([](Frame &frame) { frame.planes.clear(); }), "planes");
    CHECK_EQUAL(bent([](Frame &frame) { frame.planes.push_back(frame.planes[0]); }), "planes");
    CHECK_EQUAL(bent([](Frame &frame) { frame.payload.clear(); }), "parts");
    CHECK_EQUAL(bent([](Frame &frame) { frame.payload.push_back({}); }), "parts");
}

TEST("header", "lengths must agree") {
    CHECK_EQUAL(bent([](Frame &frame) { frame.planes[0].decoded = 7; }), "size");
    CHECK_EQUAL(bent([](Frame &frame) { frame.planes[0].wire = 7; }), "size");
    CHECK_EQUAL(bent([](Frame &frame) { frame.payload[0].pop_back(); }), "size");
    CHECK_EQUAL(bent([](Frame &frame) { frame.width = 3; }), "size");
    CHECK_EQUAL(bent([](Frame &frame) { frame.stride = 7; }), "size");
    CHECK_EQUAL(bent([](Frame &frame) { frame.stride = ~std::uint64_t{0}; }), "size");
    CHECK_EQUAL(bent([](Frame &frame) {
                    frame.height = 8192;
                    frame.width = 8192;
                    frame.planes[0].decoded = frame.planes[0].wire = std::uint64_t{4} * 8192 * 8192;
                }),
                "size");
    CHECK_EQUAL(bent([](Frame &frame) {
                    frame.stride = 12;
                    frame.planes[0].decoded = frame.planes[0].wire = 12;
                    frame.payload[0].resize(12);
                }),
                "frame");
}

TEST("header", "colour and alpha in two planes have no gaps between rows") {
    Frame frame = raw_frame(1);
    frame.planes = {SentPlane{"raw", "rgb", 6, 6, "", 0, 0}, SentPlane{"raw", "a", 2, 2, "", 0, 0}};
    frame.payload = {Part(6), Part(2)};
    CHECK_EQUAL(verdict(frame), "frame");
    frame.stride = 6;
    CHECK_EQUAL(verdict(frame), "size");
    frame.stride = 0;
    frame.planes[1].decoded = 3;
    CHECK_EQUAL(verdict(frame), "size");
}

TEST("header", "a channel tells news from what came before") {
    LastError last_error;
    FrameChannel channel("", last_error);
    std::int64_t now = 1;
    const auto read = [&](const std::vector<Part> &parts) {
        const std::vector<Bytes> views = messages::views(parts);
        Topic topic;
        Header header;
        const Outcome outcome = channel.read(views.data(), views.size(), ++now, topic, header);
        if (outcome == Outcome::news) {
            channel.shown(header, now, false);
        }
        return outcome;
    };
    CHECK(channel.state(now) == BUNRAKU_LOST);
    CHECK(read(raw_frame(5).parts()) == Outcome::news);
    CHECK(channel.state(now) == BUNRAKU_LIVE);
    CHECK(read(raw_frame(5).parts()) == Outcome::late);
    CHECK(read(raw_frame(8).parts()) == Outcome::news);
    Frame other = raw_frame(9);
    other.topic = "avf1/aki2";
    CHECK(read(other.parts()) == Outcome::ignored);
    other.topic = "avf1.av1/aki";
    CHECK(read(other.parts()) == Outcome::ignored);
    other.topic = "avf2/aki";
    CHECK(read(other.parts()) == Outcome::dropped);
    CHECK(channel.state(now) == BUNRAKU_INCOMPATIBLE);
    Frame restarted = raw_frame(1);
    restarted.session = 8;
    CHECK(read(restarted.parts()) == Outcome::news);
    CHECK(channel.state(now) == BUNRAKU_LIVE);
    CHECK(read(messages::bye(7)) == Outcome::bye);
    CHECK(channel.state(now) == BUNRAKU_LIVE);
    CHECK(read(messages::bye(8)) == Outcome::bye);
    CHECK(channel.state(now) == BUNRAKU_LOST);
    bunraku_status status{};
    channel.fill(status, now);
    CHECK_EQUAL(status.received, 3u);
    CHECK_EQUAL(status.late, 1u);
    CHECK_EQUAL(status.missed, 2u);
    CHECK_EQUAL(status.bad, 1u);
    CHECK_EQUAL(std::string(status.last_error_code), "version");
    CHECK_EQUAL(std::string(status.stream), "aki");
}

TEST("header", "a frame that could not be decoded may come again") {
    LastError last_error;
    FrameChannel channel("aki", last_error);
    const std::vector<Part> parts = raw_frame(4).parts();
    const std::vector<Bytes> views = messages::views(parts);
    Topic topic;
    Header header;
    Rejection why;
    why.because("decode", "broken");
    REQUIRE(channel.read(views.data(), views.size(), 1, topic, header) == Outcome::news);
    channel.undecodable(header, why, 1);
    CHECK(channel.read(views.data(), views.size(), 2, topic, header) == Outcome::news);
}
