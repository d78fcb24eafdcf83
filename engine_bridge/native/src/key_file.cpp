#include "key_file.h"

#include <zmq.h>

#include <cstdint>
#include <string>

#include "settings_text.h"

namespace bunraku {
namespace {

constexpr std::size_t KEY_BYTES = 40;

} // namespace

bool is_key(std::string_view text) {
    std::uint8_t decoded[KEY_BYTES / 5 * 4];
    return text.size() == KEY_BYTES && text.find('\0') == std::string_view::npos &&
           zmq_z85_decode(decoded, std::string(text).c_str()) != nullptr;
}

bool read_keys(std::string_view text, CurveKeys &keys, Rejection &why) {
    keys = {};
    const bool well_formed = read_settings(text, [&](std::string_view key, std::string_view value, bool quoted) {
        if (key == "server" && quoted) {
            keys.server = value;
        } else if (key == "public" && quoted) {
            keys.own_public = value;
        } else if (key == "secret" && quoted) {
            keys.own_secret = value;
        }
    });
    const char *bad = nullptr;
    if (!is_key(keys.server)) {
        bad = "server";
    } else if (!is_key(keys.own_public)) {
        bad = "public";
    } else if (!is_key(keys.own_secret)) {
        bad = "secret";
    }
    if (!well_formed || bad != nullptr) {
        return why.because("",
                           "no key file: %s must be a line of its own, a name, = and 40 characters of Z85 in quotes. "
                           "Let \"bunraku keys add NAME\" write it again",
                           bad == nullptr ? "each of server, public and secret" : bad);
    }
    return true;
}

} // namespace bunraku
