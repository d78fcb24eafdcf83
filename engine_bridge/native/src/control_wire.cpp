#include "control_wire.h"

#include <algorithm>
#include <cmath>

#include "build.h"
#include "fields.h"

namespace bunraku {
namespace {

// More than enough for the number, the time and the keys that write_set() adds.
constexpr std::size_t SET_OVERHEAD_BYTES = 64;

bool read_controls(const Value &array, const std::uint8_t *end, StreamInfo &info, Rejection &why) {
    Array elements(array, end);
    info.controls.reserve(array.size);
    for (Value element; elements.next(element);) {
        if (element.type != Type::map) {
            return why.because("header", "a welcome with a control that is not a map");
        }
        const Map map(element, end);
        Fields fields(map, "a control of a welcome");
        std::string_view name;
        std::string_view group;
        StreamInfo::Control control;
        fields.need("name", name);
        fields.need("minimum", control.minimum);
        fields.need("maximum", control.maximum);
        fields.need("rest", control.rest);
        fields.may("group", group);
        if (!fields.all_good(why)) {
            return false;
        }
        control.name = name;
        control.group = group;
        info.controls.push_back(std::move(control));
    }
    return true;
}

bool read_names(const Value &array, const std::uint8_t *end, std::vector<std::string> *names, Rejection &why) {
    Array elements(array, end);
    for (Value element; elements.next(element);) {
        if (element.type != Type::string) {
            return why.because("header", "a welcome with a name that is not a string");
        }
        if (names != nullptr) {
            names->emplace_back(element.text());
        }
    }
    return true;
}

bool read_expressions(const Value &array, const std::uint8_t *end, StreamInfo &info, Rejection &why) {
    Array elements(array, end);
    for (Value element; elements.next(element);) {
        if (element.type != Type::map) {
            return why.because("header", "a welcome with an expression that is not a map");
        }
        const Map map(element, end);
        Fields fields(map, "an expression of a welcome");
        std::string_view name;
        std::string_view hotkey;
        fields.need("name", name);
        fields.may("hotkey", hotkey);
        if (!fields.all_good(why)) {
            return false;
        }
        info.expressions.emplace_back(name);
    }
    return true;
}

struct Size {
    std::int64_t width = 0;
    std::int64_t height = 0;
};

bool read_info(const Value &value, const std::uint8_t *end, StreamInfo &info, Size &size, Rejection &why) {
    const Map map(value, end);
    Fields fields(map, "the info of a welcome");
    std::string_view stream;
    std::string_view character;
    std::string_view provider;
    Value controls;
    Value identities;
    Value expressions;
    fields.need("session", info.session);
    fields.need("stream", stream);
    fields.need("character", character);
    fields.need("width", size.width);
    fields.need("height", size.height);
    fields.need("fps", info.fps);
    fields.may("has_mapping", info.has_mapping);
    fields.may("provider", provider);
    if (!fields.array("controls", controls)) {
        fields.fail("controls", "is missing");
    }
    const bool has_identities = fields.array("identities", identities);
    const bool has_expressions = fields.array("expressions", expressions);
    info.character = character;
    return fields.all_good(why) && read_controls(controls, end, info, why) &&
           (!has_identities || read_names(identities, end, &info.identities, why)) &&
           (!has_expressions || read_expressions(expressions, end, info, why));
}

bool check_info(const Size &size, const StreamInfo &info, Rejection &why) {
    const auto is_side = [](std::int64_t side) { return side >= 1 && side <= std::int64_t{MAX_SIDE_PX}; };
    if (!is_side(size.width) || !is_side(size.height)) {
        return why.because("size", "a stream of %lldx%lld pixels", static_cast<long long>(size.width),
                           static_cast<long long>(size.height));
    }
    if (!std::isfinite(info.fps) || info.fps < 0.0) {
        return why.because("number", "a stream of %g frames per second", info.fps);
    }
    for (const StreamInfo::Control &control : info.controls) {
        if (!(std::isfinite(control.minimum) && std::isfinite(control.maximum) && control.minimum <= control.rest &&
              control.rest <= control.maximum)) {
            return why.because("number", "the range of '%.64s' is none", control.name.c_str());
        }
    }
    return true;
}

bool read_welcome(const Map &map, ServerMessage &parsed, Rejection &why) {
    parsed.kind = Answer::welcome;
    Fields fields(map, "a welcome");
    std::uint64_t major = 0;
    std::uint64_t minor = 0;
    Value info;
    Value names;
    fields.need("proto", major);
    fields.need("ses", parsed.session);
    fields.may("v", minor);
    if (!fields.map("info", info)) {
        fields.fail("info", "is missing");
    }
    for (const char *key : {"streams", "caps"}) {
        if (fields.array(key, names) && !read_names(names, map.end(), nullptr, why)) {
            return false;
        }
    }
    Size size;
    if (!fields.all_good(why) || !read_info(info, map.end(), parsed.info, size, why)) {
        return false;
    }
    if (major != MAJOR) {
        return why.because("version", "the producer chose avf/%llu, this client speaks avf/%u; update the older one",
                           static_cast<unsigned long long>(major), MAJOR);
    }
    if (!check_info(size, parsed.info, why)) {
        return false;
    }
    parsed.info.width = static_cast<std::uint32_t>(size.width);
    parsed.info.height = static_cast<std::uint32_t>(size.height);
    return true;
}

bool read_refuse(const Map &map, ServerMessage &parsed, Rejection &why) {
    parsed.kind = Answer::refuse;
    Fields fields(map, "a refusal");
    fields.need("code", parsed.code);
    fields.need("text", parsed.text);
    fields.may("ses", parsed.session);
    return fields.all_good(why);
}

bool read_pong(const Map &map, ServerMessage &parsed, Rejection &why) {
    parsed.kind = Answer::pong;
    Fields fields(map, "a pong");
    std::int64_t producer_ns = 0;
    fields.need("t", parsed.ping_ns);
    fields.need("r", producer_ns);
    fields.need("ses", parsed.session);
    return fields.all_good(why);
}

// An identity by name, or a seed; nothing if neither was given.
bool write_who(Writer &writer, const char *key, const char *name, std::int64_t seed) {
    if (name == nullptr && seed < 0) {
        return false;
    }
    writer.text(key);
    if (name != nullptr) {
        writer.text(name);
    } else {
        writer.number(static_cast<std::uint64_t>(seed));
    }
    return true;
}

bool all_finite(const bunraku_control_state &state) {
    const bool mixes = state.mix_identity != nullptr || state.mix_seed >= 0;
    return std::isfinite(state.truncation_psi) && (!mixes || std::isfinite(state.mix_amount)) &&
           std::all_of(state.controls, state.controls + state.control_count,
                       [](const bunraku_control &control) { return std::isfinite(control.value); });
}

bool all_named(const bunraku_control_state &state) {
    return state.control_count == 0 ||
           (state.controls != nullptr &&
            std::all_of(state.controls, state.controls + state.control_count,
                        [](const bunraku_control &control) { return control.name != nullptr; }));
}

} // namespace

bool read_server_message(Bytes message, ServerMessage &parsed, Rejection &why) {
    if (!check_map(message.data, message.size, MAX_MAP_KEYS, why)) {
        return false;
    }
    const Map map(message.data, message.data + message.size);
    Value kind;
    const std::string_view name = map.find("k", kind) && kind.type == Type::string ? kind.text() : std::string_view{};
    if (name == "welcome") {
        return read_welcome(map, parsed, why);
    }
    if (name == "refuse") {
        return read_refuse(map, parsed, why);
    }
    if (name == "pong") {
        return read_pong(map, parsed, why);
    }
    return why.because("kind", "unknown kind of message: '%.*s'",
                       static_cast<int>(std::min<std::size_t>(name.size(), 32)), name.data());
}

void write_hello(Writer &writer, std::string_view name, float wanted_fps) {
    writer.map(wanted_fps > 0.0f ? 6 : 5);
    writer.text("k");
    writer.text("hello");
    writer.text("proto");
    writer.array(1);
    writer.number(MAJOR);
    writer.text("v");
    writer.number(MINOR);
    writer.text("name");
    writer.text(name);
    writer.text("caps");
    constexpr struct {
        std::uint32_t encoding;
        const char *name;
    } CAPABILITIES[] = {{BUNRAKU_RAW, "raw"}, {BUNRAKU_LZ4, "lz4"}, {BUNRAKU_JPEG, "jpeg"}, {BUNRAKU_SHM, "shm"}};
    const auto is_built = [](const auto &capability) { return (capability.encoding & BUILT_ENCODINGS) != 0; };
    writer.array(static_cast<std::size_t>(std::count_if(std::begin(CAPABILITIES), std::end(CAPABILITIES), is_built)));
    for (const auto &capability : CAPABILITIES) {
        if (is_built(capability)) {
            writer.text(capability.name);
        }
    }
    if (wanted_fps > 0.0f) {
        writer.text("want");
        writer.map(1);
        writer.text("fps");
        writer.real(wanted_fps);
    }
}

void write_ping(Writer &writer, std::int64_t now_ns) {
    writer.map(2);
    writer.text("k");
    writer.text("ping");
    writer.text("t");
    writer.signed_number(now_ns);
}

void write_request_last(Writer &writer) {
    writer.map(2);
    writer.text("k");
    writer.text("req");
    writer.text("what");
    writer.text("last");
}

void write_stat(Writer &writer, std::uint64_t shown, std::uint64_t dropped, double age_p50_ms, double age_p99_ms) {
    writer.map(5);
    writer.text("k");
    writer.text("stat");
    writer.text("shown");
    writer.number(shown);
    writer.text("dropped");
    writer.number(dropped);
    writer.text("age_p50");
    writer.real(std::isfinite(age_p50_ms) ? age_p50_ms : 0.0);
    writer.text("age_p99");
    writer.real(std::isfinite(age_p99_ms) ? age_p99_ms : 0.0);
}

std::int32_t pack_state(const bunraku_control_state &state, PackedState &packed) {
    if (state.control_count > BUNRAKU_MAX_CONTROLS) {
        return BUNRAKU_TOO_LARGE;
    }
    if (!all_named(state)) {
        return BUNRAKU_BAD_ARGUMENT;
    }
    if (!all_finite(state)) {
        return BUNRAKU_NOT_FINITE;
    }
    packed.body.resize(MAX_PACKED_BYTES - SET_OVERHEAD_BYTES);
    packed.pairs = 0;
    packed.calibrate = state.calibrate != 0;
    Writer writer(packed.body.data(), packed.body.size());
    if (state.control_count > 0) {
        ++packed.pairs;
        writer.text("ex");
        writer.map(state.control_count);
        for (std::uint32_t i = 0; i < state.control_count; ++i) {
            writer.text(state.controls[i].name);
            writer.real(state.controls[i].value);
        }
    }
    packed.pairs += write_who(writer, "who", state.identity, state.seed) ? 1 : 0;
    if (state.mix_identity != nullptr || state.mix_seed >= 0) {
        ++packed.pairs;
        writer.text("mix");
        writer.map(2);
        write_who(writer, "who", state.mix_identity, state.mix_seed);
        writer.text("amount");
        writer.real(state.mix_amount);
    }
    if (state.truncation_psi >= 0.0f) {
        ++packed.pairs;
        writer.text("psi");
        writer.real(state.truncation_psi);
    }
    if (state.expression != nullptr) {
        ++packed.pairs;
        writer.text("emo");
        writer.text(state.expression);
    }
    if (!writer.fits()) {
        return BUNRAKU_TOO_LARGE;
    }
    packed.body.resize(writer.size());
    return BUNRAKU_OK;
}

void write_set(Writer &writer, const PackedState &state, std::uint64_t control_id, std::int64_t timestamp_ns) {
    writer.map(3 + state.pairs + (state.calibrate ? 1 : 0));
    writer.text("k");
    writer.text("set");
    writer.text("cid");
    writer.number(control_id);
    writer.text("ts");
    writer.signed_number(timestamp_ns);
    writer.packed(state.body.data(), state.body.size());
    if (state.calibrate) {
        writer.text("cal");
        writer.boolean(true);
    }
}

} // namespace bunraku
