// Any bytes as what a producer says on the control channel.
#include <cmath>
#include <cstdlib>
#include <vector>

#include "control_wire.h"

using namespace bunraku;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    const std::vector<std::uint8_t> exact(data, data + size);
    ServerMessage message;
    Rejection why;
    if (!read_server_message({exact.data(), exact.size()}, message, why)) {
        if (why.code[0] == '\0' || why.text[0] == '\0') {
            std::abort();
        }
        return 0;
    }
    if (message.kind == Answer::welcome) {
        for (const StreamInfo::Control &control : message.info.controls) {
            if (!std::isfinite(control.minimum) ||
                !(control.minimum <= control.rest && control.rest <= control.maximum)) {
                std::abort();
            }
        }
    }
    return 0;
}
