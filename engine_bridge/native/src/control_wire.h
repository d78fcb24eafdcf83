// The control channel in bytes: what a client says, and what a producer answers. Knows no socket. Twin of
// engine_bridge/avf/control_wire.py.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bunraku/client.h"
#include "header.h"
#include "msgpack_writer.h"
#include "rejection.h"

namespace bunraku {

// What a producer's welcome told of its stream.
struct StreamInfo {
    struct Control {
        std::string name, group;
        double minimum = 0.0;
        double maximum = 0.0;
        double rest = 0.0;
    };
    std::uint64_t session = 0;
    std::uint32_t width = 0;
    std::uint32_t height = 0;
    double fps = 0.0;
    bool has_mapping = false;
    std::string character;
    std::vector<Control> controls;
    std::vector<std::string> identities;
    std::vector<std::string> expressions;
};

enum class Answer { welcome, refuse, pong };

struct ServerMessage {
    Answer kind = Answer::pong;
    std::uint64_t session = 0;
    StreamInfo info;       // of a welcome
    std::string_view code; // of a refusal; points into the message
    std::string_view text;
    std::int64_t ping_ns = 0; // of a pong
};

// Reads what a producer says; otherwise why, with a code of docs/protocol.md.
bool read_server_message(Bytes message, ServerMessage &parsed, Rejection &why);

void write_hello(Writer &writer, std::string_view name, float wanted_fps);
void write_ping(Writer &writer, std::int64_t now_ns);
void write_request_last(Writer &writer);
void write_stat(Writer &writer, std::uint64_t shown, std::uint64_t dropped, double age_p50_ms, double age_p99_ms);

// What a `set` says besides its number, its time and whether to calibrate: `pairs` entries of a map, packed.
struct PackedState {
    std::vector<std::uint8_t> body;
    std::size_t pairs = 0;
    bool calibrate = false;
};

// Packs a caller's state. Gives BUNRAKU_OK, or why it cannot be sent.
std::int32_t pack_state(const bunraku_control_state &state, PackedState &packed);

void write_set(Writer &writer, const PackedState &state, std::uint64_t control_id, std::int64_t timestamp_ns);

} // namespace bunraku
