// The C ABI. Checks what callers give, and lets nothing that C++ can throw across the border.
#include "client_object.h"

#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>
#include <mutex>
#include <new>
#include <string>
#include <system_error>

#include "build.h"
#include "clock.h"
#include "endpoint.h"
#include "key_file.h"
#include "settings_text.h"
#include "text.h"
#include "wanted.h"

namespace bunraku {
namespace {

constexpr std::uint32_t ALL_ENCODINGS = BUNRAKU_RAW | BUNRAKU_LZ4 | BUNRAKU_JPEG | BUNRAKU_SHM;
constexpr std::uint32_t ALL_FLAGS = BUNRAKU_PREMULTIPLIED | BUNRAKU_BOTTOM_UP;

// What this header's first version had of each struct; a caller that has less cannot be served.
constexpr std::size_t OPTIONS_V1 = offsetof(bunraku_options, reserved) + sizeof(std::uint32_t);
constexpr std::size_t FRAME_V1 = sizeof(bunraku_frame);
constexpr std::size_t STATUS_V1 = sizeof(bunraku_status);
constexpr std::size_t INFO_V1 = sizeof(bunraku_info);
constexpr std::size_t SPEC_V1 = sizeof(bunraku_control_spec);
constexpr std::size_t STATE_V1 = offsetof(bunraku_control_state, reserved) + sizeof(std::uint32_t);

// Writes as much of a struct as the caller knows of.
template <typename Struct> void hand_out(const Struct &filled, Struct &out) {
    const std::uint32_t known = out.struct_size;
    std::memcpy(static_cast<void *>(&out), &filled, known < sizeof(Struct) ? known : sizeof(Struct));
    out.struct_size = known;
}

// Reads as much of a struct as the caller gave; what it does not know of is zero.
template <typename Struct> Struct take_in(const Struct &given) {
    Struct whole{};
    std::memcpy(static_cast<void *>(&whole), &given,
                given.struct_size < sizeof(Struct) ? given.struct_size : sizeof(Struct));
    return whole;
}

std::string text_or(const char *text, const char *otherwise) { return text == nullptr ? otherwise : text; }

std::int32_t check_keys(const bunraku_options &options, CurveKeys &keys, Rejection &why) {
    keys = {text_or(options.curve_server_key, ""), text_or(options.curve_public_key, ""),
            text_or(options.curve_secret_key, "")};
    if (keys.server.empty() && keys.own_public.empty() && keys.own_secret.empty()) {
        return BUNRAKU_OK;
    }
    if (zmq_has("curve") == 0) {
        why.because(
            "",
            "This build of libzmq has no CURVE, so no keys can be used. Connect without them, or use another build");
        return BUNRAKU_UNSUPPORTED;
    }
    if (!is_key(keys.server) || !is_key(keys.own_public) || !is_key(keys.own_secret)) {
        why.because("", "A CURVE key is missing or malformed: the server's key and this client's pair are needed, 40 "
                        "characters of Z85 each. bunraku_read_key_file reads all three from a key file");
        return BUNRAKU_BAD_KEY;
    }
    return BUNRAKU_OK;
}

std::int32_t check_options(const bunraku_options &options, Rejection &why) {
    if ((options.encodings & ~ALL_ENCODINGS) != 0 || options.pixel_format > BUNRAKU_BGRA8 ||
        (options.flags & ~ALL_FLAGS) != 0) {
        why.because(
            "",
            "bunraku_options holds an unknown encoding, pixel format or flag. Is the header newer than the library?");
        return BUNRAKU_BAD_ARGUMENT;
    }
    if (options.encodings != 0 && (options.encodings & BUILT_ENCODINGS) == 0) {
        why.because("", "This build (%s) can receive none of the encodings asked for. Add BUNRAKU_RAW",
                    bunraku_version());
        return BUNRAKU_UNSUPPORTED;
    }
    if (!std::isfinite(options.wanted_fps) || options.wanted_fps < 0.0f) {
        why.because("", "wanted_fps must be 0 (as the producer likes) or more");
        return BUNRAKU_BAD_ARGUMENT;
    }
    const std::string endpoint = text_or(options.endpoint, "");
    const std::string control = text_or(options.control_endpoint, "");
    const std::string stream = text_or(options.stream, "");
    if ((!endpoint.empty() && !check_endpoint(endpoint, why)) || (!control.empty() && !check_endpoint(control, why))) {
        return BUNRAKU_BAD_ENDPOINT;
    }
    if (!stream.empty() && !is_stream_name(stream)) {
        why.because("", "'%.64s' cannot name a stream. Use 1 to 59 of the characters A-Z a-z 0-9 . _ -",
                    stream.c_str());
        return BUNRAKU_BAD_ENDPOINT;
    }
    return BUNRAKU_OK;
}

std::int32_t open_client(const bunraku_options &options, bunraku_client **client, Rejection &why) {
    CurveKeys keys;
    std::int32_t result = check_options(options, why);
    result = result == BUNRAKU_OK ? check_keys(options, keys, why) : result;
    if (result != BUNRAKU_OK) {
        return result;
    }
    Receiver::Options receiver;
    receiver.endpoint = text_or(options.endpoint, "");
    receiver.stream = text_or(options.stream, "");
    receiver.encodings = options.encodings;
    receiver.wanted.bgra = options.pixel_format == BUNRAKU_BGRA8;
    receiver.wanted.premultiplied = (options.flags & BUNRAKU_PREMULTIPLIED) != 0;
    receiver.wanted.bottom_up = (options.flags & BUNRAKU_BOTTOM_UP) != 0;
    receiver.keys = keys;
    ControlLink::Options control;
    control.client_name = text_or(options.client_name, "native");
    control.wanted_fps = options.wanted_fps;
    control.keys = keys;
    try {
        *client = new bunraku_client(std::move(receiver), std::move(control), options.control_endpoint);
        return BUNRAKU_OK;
    } catch (const std::exception &error) { // no memory, thread or socket
        why.because("", "The client cannot start: %s", error.what());
        return BUNRAKU_NO_MEMORY;
    }
}

// Runs what may allocate; the C side knows no exceptions.
template <typename Work> std::int32_t guarded(const Work &work) {
    try {
        return work();
    } catch (const std::exception &) {
        return BUNRAKU_NO_MEMORY;
    }
}

std::int32_t copy_name(const std::vector<std::string> &names, std::uint32_t index, char *name, std::size_t name_bytes) {
    if (index >= names.size()) {
        return BUNRAKU_NOT_FOUND;
    }
    copy_text(names[index], name, name_bytes);
    return BUNRAKU_OK;
}

} // namespace
} // namespace bunraku

using namespace bunraku;

bunraku_client::bunraku_client(Receiver::Options receiver_options, ControlLink::Options control_options,
                               const char *control_endpoint)
    : box(std::make_shared<FrameBox>()), channel(receiver_options.stream, last_error),
      pixel_format(receiver_options.wanted.bgra ? BUNRAKU_BGRA8 : BUNRAKU_RGBA8) {
    zmq_ctx_set(context.get(), ZMQ_BLOCKY, 0);
    const bool wants_control = control_endpoint == nullptr || control_endpoint[0] != '\0';
    if (wants_control) {
        control_options.stat = [this] { return stat(); };
        control = std::make_unique<ControlLink>(context.get(), std::move(control_options), last_error);
        if (control_endpoint != nullptr) {
            control->set_endpoint(control_endpoint);
        }
    }
    receiver_options.takes_told_control_endpoint = control_endpoint == nullptr;
    receiver = std::make_unique<Receiver>(context.get(), std::move(receiver_options), channel, *box, control.get());
    try {
        if (control != nullptr && !control->start()) {
            throw std::runtime_error("ZeroMQ gives no socket");
        }
        receiver->start();
    } catch (...) {
        stop();
        throw;
    }
}

bunraku_client::~bunraku_client() { stop(); }

void bunraku_client::stop() {
    receiver->stop();
    if (control != nullptr) {
        control->stop();
    }
    zmq_ctx_shutdown(context.get());
    receiver->join();
    if (control != nullptr) {
        control->join();
    }
}

void bunraku_client::fill(bunraku_status &status) const {
    const std::int64_t now = now_ns();
    channel.fill(status, now);
    status.shown = box->shown();
    const Percentiles take = box->ages_at_take();
    status.age_take_ms_p50 = take.p50_ms;
    status.age_take_ms_p99 = take.p99_ms;
    status.motion_to_photon_ms_p50 = std::numeric_limits<double>::quiet_NaN();
    if (control != nullptr) {
        control->fill(status, now);
    }
}

ClientStat bunraku_client::stat() const {
    bunraku_status status{};
    channel.fill(status, now_ns());
    const Percentiles ages = box->ages_since_last_asked();
    return {box->shown(), status.skipped + status.missed, ages.p50_ms, ages.p99_ms};
}

uint32_t bunraku_abi_version(void) { return BUNRAKU_ABI_VERSION; }

const char *bunraku_version(void) {
    static const std::string version = [] {
        int major = 0;
        int minor = 0;
        int patch = 0;
        zmq_version(&major, &minor, &patch);
        std::string text = BUNRAKU_VERSION " (libzmq " + std::to_string(major) + "." + std::to_string(minor) + "." +
                           std::to_string(patch) + ";";
        text += (BUILT_ENCODINGS & BUNRAKU_LZ4) != 0 ? " lz4" : "";
        text += (BUILT_ENCODINGS & BUNRAKU_JPEG) != 0 ? " jpeg" : "";
        text += " shm";
        text += zmq_has("curve") != 0 ? " curve" : "";
        return text + ")";
    }();
    return version.c_str();
}

const char *bunraku_result_text(int32_t result) {
    switch (result) {
    case BUNRAKU_OK: return "Done; nothing newer.";
    case BUNRAKU_NEW_FRAME: return "A new frame was leased.";
    case BUNRAKU_BAD_ARGUMENT:
        return "A null pointer, an empty name, a number outside its range, a bad index, or a struct_size that this "
               "library does not know.";
    case BUNRAKU_BAD_ENDPOINT: return "The endpoint or the stream's name is malformed.";
    case BUNRAKU_BAD_KEY: return "A CURVE key is not 40 characters of Z85, or only some of the three were given.";
    case BUNRAKU_NO_MEMORY: return "Out of memory, or a thread or socket could not be created.";
    case BUNRAKU_NOT_FOUND: return "Not received from the producer yet, or there is no such item.";
    case BUNRAKU_TOO_MANY: return "Three frames are leased already; release one first.";
    case BUNRAKU_NOT_FINITE: return "A number is NaN or infinite; nothing was changed or sent.";
    case BUNRAKU_TOO_LARGE:
        return "More than 256 controls, a name that is too long, or a state beyond 64 KiB; nothing was changed or "
               "sent.";
    case BUNRAKU_UNSUPPORTED: return "This build lacks what was asked for.";
    default: return "An unknown result; the library is newer than this program.";
    }
}

int64_t bunraku_now_ns(void) { return now_ns(); }

uint32_t bunraku_encodings(void) { return BUILT_ENCODINGS; }

int32_t bunraku_open(const bunraku_options *options, bunraku_client **client, char *why, size_t why_bytes) {
    Rejection reason;
    std::int32_t result = BUNRAKU_BAD_ARGUMENT;
    if (client != nullptr) {
        *client = nullptr;
    }
    if (options == nullptr || client == nullptr || options->struct_size < OPTIONS_V1) {
        reason.because(
            "", "bunraku_open needs options, with struct_size set to sizeof(bunraku_options), and room for a client");
    } else {
        result = guarded([&] { return open_client(take_in(*options), client, reason); });
    }
    if (why != nullptr && why_bytes > 0) {
        copy_text(reason.text, why, why_bytes);
    }
    return result;
}

void bunraku_close(bunraku_client *client) { delete client; }

int32_t bunraku_acquire(bunraku_client *client, bunraku_frame *frame) {
    if (client == nullptr || frame == nullptr || frame->struct_size < FRAME_V1) {
        return BUNRAKU_BAD_ARGUMENT;
    }
    bunraku_frame filled{};
    const std::int32_t result = client->box->acquire(filled, client->pixel_format);
    if (result == BUNRAKU_NEW_FRAME) {
        hand_out(filled, *frame);
        if (client->control != nullptr) {
            client->control->sent_states().seen(filled.control_id, filled.control_timestamp_ns, now_ns());
        }
    }
    return result;
}

int32_t bunraku_release(bunraku_client *client, uint32_t lease) {
    return client == nullptr ? static_cast<std::int32_t>(BUNRAKU_BAD_ARGUMENT) : client->box->release(lease);
}

int32_t bunraku_get_status(bunraku_client *client, bunraku_status *status) {
    if (client == nullptr || status == nullptr || status->struct_size < STATUS_V1) {
        return BUNRAKU_BAD_ARGUMENT;
    }
    bunraku_status filled{};
    client->fill(filled);
    hand_out(filled, *status);
    return BUNRAKU_OK;
}

int32_t bunraku_get_info(bunraku_client *client, bunraku_info *info) {
    if (client == nullptr || info == nullptr || info->struct_size < INFO_V1) {
        return BUNRAKU_BAD_ARGUMENT;
    }
    return client->with_info([&](const StreamInfo &told) {
        bunraku_info filled{};
        filled.width = told.width;
        filled.height = told.height;
        filled.has_mapping = told.has_mapping ? 1 : 0;
        filled.control_count = static_cast<std::uint32_t>(told.controls.size());
        filled.identity_count = static_cast<std::uint32_t>(told.identities.size());
        filled.expression_count = static_cast<std::uint32_t>(told.expressions.size());
        filled.fps = told.fps;
        copy_text(told.character, filled.character);
        hand_out(filled, *info);
        return static_cast<std::int32_t>(BUNRAKU_OK);
    });
}

int32_t bunraku_get_control(bunraku_client *client, uint32_t index, bunraku_control_spec *spec) {
    if (client == nullptr || spec == nullptr || spec->struct_size < SPEC_V1) {
        return BUNRAKU_BAD_ARGUMENT;
    }
    return client->with_info([&](const StreamInfo &told) {
        if (index >= told.controls.size()) {
            return static_cast<std::int32_t>(BUNRAKU_NOT_FOUND);
        }
        const StreamInfo::Control &control = told.controls[index];
        bunraku_control_spec filled{};
        filled.minimum = static_cast<float>(control.minimum);
        filled.maximum = static_cast<float>(control.maximum);
        filled.rest = static_cast<float>(control.rest);
        copy_text(control.name, filled.name);
        copy_text(control.group, filled.group);
        hand_out(filled, *spec);
        return static_cast<std::int32_t>(BUNRAKU_OK);
    });
}

int32_t bunraku_get_identity(bunraku_client *client, uint32_t index, char *name, size_t name_bytes) {
    if (client == nullptr || name == nullptr || name_bytes == 0) {
        return BUNRAKU_BAD_ARGUMENT;
    }
    return client->with_info(
        [&](const StreamInfo &told) { return copy_name(told.identities, index, name, name_bytes); });
}

int32_t bunraku_get_expression(bunraku_client *client, uint32_t index, char *name, size_t name_bytes) {
    if (client == nullptr || name == nullptr || name_bytes == 0) {
        return BUNRAKU_BAD_ARGUMENT;
    }
    return client->with_info(
        [&](const StreamInfo &told) { return copy_name(told.expressions, index, name, name_bytes); });
}

int32_t bunraku_send_control(bunraku_client *client, const bunraku_control_state *state, uint64_t *control_id) {
    if (client == nullptr || state == nullptr || state->struct_size < STATE_V1) {
        return BUNRAKU_BAD_ARGUMENT;
    }
    if (client->control == nullptr) {
        return BUNRAKU_NOT_FOUND;
    }
    return guarded([&] { return client->control->send(take_in(*state), control_id); });
}

int32_t bunraku_send_wanted(bunraku_client *client, bunraku_wanted *wanted, uint64_t *control_id) {
    if (client == nullptr || wanted == nullptr) {
        return BUNRAKU_BAD_ARGUMENT;
    }
    const std::lock_guard<std::mutex> lock(wanted->mutex);
    if (!client->was_sent_wanted.exchange(true)) {
        wanted->state.repeat();
    }
    return wanted->state.send(
        [&](const bunraku_control_state &state) { return bunraku_send_control(client, &state, control_id); });
}

int32_t bunraku_request_last(bunraku_client *client) {
    if (client == nullptr) {
        return BUNRAKU_BAD_ARGUMENT;
    }
    if (client->control == nullptr) {
        return BUNRAKU_NOT_FOUND;
    }
    client->control->request_last();
    return BUNRAKU_OK;
}

int32_t bunraku_read_key_file(const char *path, char *server_key, char *public_key, char *secret_key, char *why,
                              size_t why_bytes) {
    if (path == nullptr || server_key == nullptr || public_key == nullptr || secret_key == nullptr) {
        return BUNRAKU_BAD_ARGUMENT;
    }
    return guarded([&] {
        constexpr std::size_t KEY_BYTES = 41;
        Rejection reason;
        CurveKeys keys;
        std::string text;
        std::int32_t result = BUNRAKU_OK;
        if (!read_small_file(path, text)) {
            reason.because("", "The key file %.200s cannot be read. \"bunraku keys add NAME\" writes one", path);
            result = BUNRAKU_NOT_FOUND;
        } else if (!read_keys(text, keys, reason)) {
            result = BUNRAKU_BAD_KEY;
        }
        if (result == BUNRAKU_OK) {
            copy_text(keys.server, server_key, KEY_BYTES);
            copy_text(keys.own_public, public_key, KEY_BYTES);
            copy_text(keys.own_secret, secret_key, KEY_BYTES);
        }
        if (why != nullptr && why_bytes > 0) {
            copy_text(reason.text, why, why_bytes);
        }
        return result;
    });
}
