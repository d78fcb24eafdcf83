// Any bytes as a message of the frame channel. Input: u8 number of parts, then for each a u16 length (little-endian)
// and its bytes; what is cut off is shorter.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "frame_channel.h"

using namespace bunraku;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    if (size == 0) {
        return 0;
    }
    const std::size_t count = data[0] % (MAX_PARTS + 2);
    std::vector<std::vector<std::uint8_t>> parts; // each of its own, so that reading beyond one is seen
    std::size_t at = 1;
    for (std::size_t i = 0; i < count; ++i) {
        std::size_t length = 0;
        if (at + 2 <= size) {
            length = std::min<std::size_t>(data[at] | data[at + 1] << 8, size - at - 2);
            at += 2;
        }
        parts.emplace_back(data + at, data + at + length);
        at += length;
    }
    std::vector<Bytes> views;
    for (const auto &part : parts) {
        views.push_back({part.data(), part.size()});
    }
    LastError last_error;
    FrameChannel channel("", last_error);
    Topic topic;
    Header header;
    const Outcome outcome = channel.read(views.data(), views.size(), 1, topic, header);
    bunraku_status status{};
    channel.fill(status, 2);
    const bool told = std::memchr(status.last_error, 0, sizeof status.last_error) != nullptr;
    // What is dropped has a reason; what is news has planes that add up.
    if ((outcome == Outcome::dropped) != (status.bad == 1 && status.last_error_code[0] != '\0') || !told) {
        std::abort();
    }
    if (outcome == Outcome::news &&
        (header.plane_count != views.size() - MIN_PARTS || header.width == 0 || header.height == 0 ||
         header.planes[0].decoded_bytes != header.stride * header.height)) {
        std::abort();
    }
    return 0;
}
