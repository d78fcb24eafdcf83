// Any bytes as a key file, a stream's file, an endpoint and a topic.
#include <cstdlib>
#include <string>

#include "discovery.h"
#include "endpoint.h"
#include "header.h"
#include "key_file.h"

using namespace bunraku;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    const std::string text(reinterpret_cast<const char *>(data), size);
    Rejection why;
    CurveKeys keys;
    if (read_keys(text, keys, why) && !(is_key(keys.server) && is_key(keys.own_public) && is_key(keys.own_secret))) {
        std::abort();
    }
    FoundStream found;
    if (read_stream_file(text, found) && !(is_stream_name(found.stream) && check_endpoint(found.frames, why))) {
        std::abort();
    }
    check_endpoint(text, why);
    is_local(text);
    reachable_control_endpoint(text, "tcp://10.0.0.1:5760");
    Topic topic;
    if (split_topic({data, size}, topic, why) && !is_stream_name(topic.stream)) {
        std::abort();
    }
    return 0;
}
