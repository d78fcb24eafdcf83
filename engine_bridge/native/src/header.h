// What the parts of a frame message say, read and checked in the order of docs/protocol.md. Twin of
// engine_bridge/avf/wire.py. Knows bytes; decodes no pixels and knows no socket. Everything points into the message it was
// read from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "msgpack_reader.h"
#include "pixels.h"
#include "rejection.h"

namespace bunraku {

constexpr unsigned MAJOR = 1;
constexpr unsigned MINOR = 1;
constexpr std::size_t MIN_PARTS = 2;
constexpr std::size_t MAX_PARTS = 8;
constexpr std::size_t MAX_TOPIC_BYTES = 80;
constexpr std::size_t MAX_STREAM_BYTES = 59;
constexpr std::size_t MAX_VARIANT_BYTES = 8;
constexpr std::uint32_t MAX_SIDE_PX = 8192;
constexpr std::size_t MAX_FRAME_BYTES = std::size_t{64} * 1024 * 1024;

struct Bytes {
    const std::uint8_t *data = nullptr;
    std::size_t size = 0;
};

struct Topic {
    unsigned major = 0;
    std::string_view variant; // empty for raw
    std::string_view stream;
};

struct Plane {
    std::uint32_t encoding = 0; // a bunraku_encoding
    std::uint64_t decoded_bytes = 0;
    std::string_view ring; // of shared memory: its name, the slot, and the slot's number when it was written
    std::uint64_t slot = 0;
    std::uint64_t sequence = 0;
};

struct Provenance {
    bool ai = true;
    std::string_view model, generator, source;
};

enum class Kind { frame, heartbeat, bye };

struct Header {
    Kind kind = Kind::frame;
    std::uint64_t session = 0;
    std::uint64_t id = 0;
    bool has_unix_offset = false;
    std::int64_t unix_offset_ns = 0;
    bool has_provenance = false;
    Provenance provenance;

    // Of a frame.
    std::uint32_t width = 0;
    std::uint32_t height = 0;
    PixelLayout layout;
    Plane planes[2];
    std::size_t plane_count = 0;
    std::size_t stride = 0; // of the first plane
    std::int64_t capture_ns = 0;
    std::int64_t render_start_ns = 0;
    std::int64_t publish_ns = 0;
    std::uint64_t control_id = 0;
    std::int64_t control_timestamp_ns = 0;
    std::string_view provider;
    bool has_checksum = false;
    std::uint64_t checksum = 0;

    // Of a heartbeat.
    std::string_view control_endpoint;
    std::string_view ring;
    std::uint32_t encodings = 0; // bits of bunraku_encoding that can be subscribed to
    bool has_stats = false;
    bool stats_are_finite = true;
    double fps = 0.0;
    double engine_ms_p50 = 0.0;
    std::string_view stats_provider;
};

bool is_stream_name(std::string_view name);

// Says what a topic of any version names; otherwise why: `topic`.
bool split_topic(Bytes topic, Topic &parsed, Rejection &why);

// The bunraku_encoding of a variant's name ("" is raw), 0 if there is no such variant.
std::uint32_t encoding_of_variant(std::string_view variant);

// Reads header and planes' sizes of a message of our version, whose first part is its topic. Says false and why if the
// message is to be dropped. What only decoding can show is not checked.
bool read_header(const Bytes *parts, std::size_t part_count, Header &header, Rejection &why);

} // namespace bunraku
