// Finding a stream on this host by the files that producers leave (docs/protocol.md, "Finding a stream").
#pragma once

#include <string>
#include <string_view>

namespace bunraku {

// What a producer's file says.
struct FoundStream {
    std::string stream, frames, control, server_key;
    unsigned long long process = 0;
};

// Reads the text of such a file; says false if a line of it, an endpoint or the name cannot be right.
bool read_stream_file(std::string_view text, FoundStream &found);

// The folder on this machine; empty if there is none that may be trusted.
std::string stream_folder();

// Looks for that stream, or, without a name, for the first one (by name) whose producer is alive.
bool find_stream(const std::string &folder, const std::string &wanted_stream, FoundStream &found);

} // namespace bunraku
