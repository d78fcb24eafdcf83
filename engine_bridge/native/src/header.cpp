#include "header.h"

#include <algorithm>
#include <cmath>

#include "build.h"
#include "bunraku/client.h"
#include "fields.h"

namespace bunraku {
namespace {

bool is_name_byte(char byte) {
    return (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') ||
           byte == '.' || byte == '_' || byte == '-';
}

bool is_variant_byte(char byte) { return (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9'); }

int shown(std::string_view text) { return static_cast<int>(std::min<std::size_t>(text.size(), 32)); }

// A plane as announced, before it is known whether such a plane can be.
struct AnnouncedPlane {
    std::string_view encoding, role, ring;
    std::uint64_t decoded_bytes = 0;
    std::uint64_t wire_bytes = 0;
    std::uint64_t slot = 0;
    std::uint64_t sequence = 0;
};

struct AnnouncedFrame {
    std::uint64_t width = 0;
    std::uint64_t height = 0;
    std::string_view format, colour_space = "srgb", alpha_mode = "straight", origin = "top";
    std::uint64_t stride = 0;
    bool has_stride = false;
    Value planes;
};

constexpr std::uint64_t MAX_SLOT = 65535;
constexpr std::string_view ROLES[] = {"rgba", "rgba", "rgb", "a"}; // of a single plane, by PixelFormat

std::uint32_t encoding_of(std::string_view name) {
    return name.empty() ? 0 : encoding_of_variant(name == "raw" ? "" : name);
}

bool read_provenance(Fields &fields, const Map &map, Header &header, Rejection &why) {
    Value inner;
    if (!fields.map_or_nil("prov", inner)) {
        return true;
    }
    const Map provenance(inner, map.end());
    Fields keys(provenance, "prov");
    header.has_provenance = true;
    keys.may("ai", header.provenance.ai);
    keys.may("model", header.provenance.model);
    keys.may("generator", header.provenance.generator);
    keys.may("source", header.provenance.source);
    return keys.all_good(why);
}

bool read_common(Fields &fields, const Map &map, Header &header, Rejection &why) {
    std::uint64_t minor = 0;
    fields.need("v", minor, 0, 255);
    fields.need("ses", header.session);
    fields.need("id", header.id);
    fields.may_or_nil("off", header.unix_offset_ns, header.has_unix_offset);
    return read_provenance(fields, map, header, why);
}

bool read_plane(const Value &value, const std::uint8_t *end, AnnouncedPlane &plane, Rejection &why) {
    if (value.type != Type::map) {
        return why.because("header", "key pl holds something that is not a map");
    }
    const Map map(value, end);
    Fields fields(map, "pl");
    fields.need("e", plane.encoding);
    fields.need("r", plane.role);
    fields.need("n", plane.decoded_bytes);
    fields.need("z", plane.wire_bytes);
    fields.may("name", plane.ring);
    fields.may("slot", plane.slot, MAX_SLOT);
    fields.may("seq", plane.sequence);
    return fields.all_good(why);
}

// Types of everything a frame's header may hold; no value is judged yet.
bool read_frame_keys(const Map &map, AnnouncedFrame &announced, Header &header, Rejection &why) {
    Fields fields(map, "a frame's header");
    bool keyframe = true;
    if (!read_common(fields, map, header, why)) {
        return false;
    }
    fields.need("w", announced.width, 1, MAX_SIDE_PX);
    fields.need("h", announced.height, 1, MAX_SIDE_PX);
    fields.need("f", announced.format);
    fields.may_or_nil("st", announced.stride, announced.has_stride);
    fields.may("cs", announced.colour_space);
    fields.may("am", announced.alpha_mode);
    fields.may("org", announced.origin);
    fields.may("tc", header.capture_ns);
    fields.may("tr", header.render_start_ns);
    fields.may("tp", header.publish_ns);
    fields.may("ca", header.control_id);
    fields.may("ct", header.control_timestamp_ns);
    fields.may("eng", header.provider);
    fields.may("key", keyframe);
    fields.may_or_nil("crc", header.checksum, header.has_checksum, UINT32_MAX);
    Value roi;
    if (fields.array_or_nil("roi", roi)) {
        Array numbers(roi, map.end());
        for (Value number; numbers.next(number);) {
            if (number.type != Type::integer || number.negative) {
                fields.fail("roi", "holds something that is not an unsigned integer");
            }
        }
    }
    if (!fields.array("pl", announced.planes)) {
        fields.fail("pl", "is missing");
        return fields.all_good(why);
    }
    Array planes(announced.planes, map.end());
    for (Value value; planes.next(value);) {
        AnnouncedPlane plane;
        if (!read_plane(value, map.end(), plane, why)) {
            return false;
        }
    }
    return fields.all_good(why);
}

bool choose_layout(const AnnouncedFrame &announced, PixelLayout &layout, Rejection &why) {
    constexpr std::string_view FORMATS[] = {"rgba8", "bgra8", "rgb8", "a8"};
    constexpr std::string_view COLOUR_SPACES[] = {"srgb", "linear"};
    constexpr std::string_view ALPHA_MODES[] = {"straight", "premul", "opaque"};
    constexpr std::string_view ORIGINS[] = {"top", "bottom"};
    const auto find = [&why](std::string_view text, const auto &names, const char *key, std::size_t &index) {
        const auto *const found = std::find(std::begin(names), std::end(names), text);
        index = static_cast<std::size_t>(found - std::begin(names));
        return found != std::end(names) ||
               why.because("format", "key %s: '%.*s' is unknown", key, shown(text), text.data());
    };
    std::size_t format = 0;
    std::size_t colour_space = 0;
    std::size_t alpha = 0;
    std::size_t origin = 0;
    if (!find(announced.format, FORMATS, "f", format) ||
        !find(announced.colour_space, COLOUR_SPACES, "cs", colour_space) ||
        !find(announced.alpha_mode, ALPHA_MODES, "am", alpha) || !find(announced.origin, ORIGINS, "org", origin)) {
        return false;
    }
    layout.format = static_cast<PixelFormat>(format);
    layout.alpha = static_cast<AlphaMode>(alpha);
    layout.linear = colour_space == 1;
    layout.bottom_up = origin == 1;
    return true;
}

bool check_encoding(const AnnouncedPlane &plane, std::size_t plane_count, Rejection &why) {
    if (std::find(std::begin(ROLES), std::end(ROLES), plane.role) == std::end(ROLES)) {
        return why.because("planes", "unknown role of a plane: '%.*s'", shown(plane.role), plane.role.data());
    }
    const std::uint32_t encoding = encoding_of(plane.encoding);
    if (encoding == 0) {
        return why.because("encoding", "unknown plane encoding '%.*s'", shown(plane.encoding), plane.encoding.data());
    }
    if ((encoding & BUILT_ENCODINGS) == 0) {
        return why.because("encoding", "this library was built without %.*s", shown(plane.encoding),
                           plane.encoding.data());
    }
    if ((encoding == BUNRAKU_JPEG && plane.role != "rgb") || (encoding == BUNRAKU_SHM && plane_count != 1)) {
        return why.because("encoding", "no plane of role '%.*s' travels as %.*s", shown(plane.role), plane.role.data(),
                           shown(plane.encoding), plane.encoding.data());
    }
    return true;
}

// The lengths that must agree, of one plane. Nothing here can overflow: strides are at most 64 MiB, sides 8192.
bool check_size(const AnnouncedPlane &plane, std::uint64_t row_bytes, std::uint32_t height, std::uint64_t part_bytes,
                Rejection &why) {
    const std::uint32_t encoding = encoding_of(plane.encoding);
    const std::uint64_t decoded = row_bytes * height;
    const std::uint64_t on_wire = encoding == BUNRAKU_RAW ? decoded : encoding == BUNRAKU_SHM ? 0 : plane.wire_bytes;
    if (decoded != plane.decoded_bytes || on_wire != plane.wire_bytes || plane.wire_bytes != part_bytes) {
        return why.because("size", "%u rows of %llu bytes are %llu; announced are %llu, on the wire %llu, arrived %llu",
                           height, static_cast<unsigned long long>(row_bytes), static_cast<unsigned long long>(decoded),
                           static_cast<unsigned long long>(plane.decoded_bytes),
                           static_cast<unsigned long long>(plane.wire_bytes),
                           static_cast<unsigned long long>(part_bytes));
    }
    if (decoded > MAX_FRAME_BYTES || part_bytes > MAX_FRAME_BYTES) {
        return why.because("size", "%llu bytes, the limit is %zu", static_cast<unsigned long long>(decoded),
                           MAX_FRAME_BYTES);
    }
    return true;
}

bool check_planes(const Map &map, const AnnouncedFrame &announced, const Bytes *payload, std::size_t payload_count,
                  Header &header, Rejection &why) {
    const std::size_t count = announced.planes.size;
    AnnouncedPlane planes[2];
    Array elements(announced.planes, map.end());
    std::size_t index = 0;
    for (Value value; elements.next(value); ++index) {
        AnnouncedPlane plane;
        if (!read_plane(value, map.end(), plane, why) || !check_encoding(plane, count, why)) {
            return false;
        }
        if (index < 2) {
            planes[index] = plane;
        }
    }
    const PixelFormat format = header.layout.format;
    const bool single = count == 1 && planes[0].role == ROLES[static_cast<std::size_t>(format)];
    const bool colour_and_alpha =
        count == 2 && format == PixelFormat::rgba8 && planes[0].role == "rgb" && planes[1].role == "a";
    if (!single && !colour_and_alpha) {
        return why.because("planes", "%zu planes that are not those of %.*s", count, shown(announced.format),
                           announced.format.data());
    }
    if (payload_count != count) {
        return why.because("parts", "%zu payload parts for %zu planes", payload_count, count);
    }

    const bool is_jpeg = encoding_of(planes[0].encoding) == BUNRAKU_JPEG;
    const std::uint64_t pixel_bytes = colour_and_alpha ? 3 : bytes_per_pixel(format);
    const std::uint64_t width_bytes = announced.width * pixel_bytes;
    if (announced.has_stride && (colour_and_alpha || is_jpeg)) {
        return why.because("size", "a stride where rows can have no gaps");
    }
    const std::uint64_t stride = announced.has_stride ? announced.stride : width_bytes;
    if (stride < width_bytes || stride > MAX_FRAME_BYTES) {
        return why.because("size", "%llu bytes a row; %llu are needed", static_cast<unsigned long long>(stride),
                           static_cast<unsigned long long>(width_bytes));
    }
    if (!check_size(planes[0], stride, header.height, payload[0].size, why) ||
        (colour_and_alpha && !check_size(planes[1], announced.width, header.height, payload[1].size, why))) {
        return false;
    }
    header.stride = static_cast<std::size_t>(stride);
    header.plane_count = count;
    for (std::size_t i = 0; i < count; ++i) {
        header.planes[i] = {encoding_of(planes[i].encoding), planes[i].decoded_bytes, planes[i].ring, planes[i].slot,
                            planes[i].sequence};
    }
    return true;
}

bool read_frame(const Map &map, const Bytes *payload, std::size_t payload_count, Header &header, Rejection &why) {
    header.kind = Kind::frame;
    AnnouncedFrame announced;
    if (!read_frame_keys(map, announced, header, why)) {
        return false;
    }
    header.width = static_cast<std::uint32_t>(announced.width);
    header.height = static_cast<std::uint32_t>(announced.height);
    return choose_layout(announced, header.layout, why) &&
           check_planes(map, announced, payload, payload_count, header, why);
}

bool read_stats(Fields &fields, const Map &map, Header &header, Rejection &why) {
    Value inner;
    if (!fields.map_or_nil("stats", inner)) {
        return true;
    }
    const Map stats(inner, map.end());
    Fields keys(stats, "stats");
    std::string_view note;
    std::string_view driver;
    double numbers[5] = {};
    std::int64_t counts[2] = {};
    keys.may("provider", header.stats_provider);
    keys.may("engine_note", note);
    keys.may("driver", driver);
    keys.may("engine_ms_p50", numbers[0]);
    keys.may("engine_ms_p99", numbers[1]);
    keys.may("fps", numbers[2]);
    keys.may("target_fps", numbers[3]);
    keys.may("dropped", counts[0]);
    keys.may("subscribers", counts[1]);
    double maybe[2] = {};
    keys.may_or_nil("motion_to_photon_ms", maybe[0]);
    keys.may_or_nil("frame_age_ms_p50", maybe[1]);
    header.has_stats = true;
    header.engine_ms_p50 = numbers[0];
    header.fps = numbers[2];
    if (!keys.all_good(why)) {
        return false;
    }
    const auto finite = [](double number) { return std::isfinite(number); };
    header.stats_are_finite = std::all_of(std::begin(numbers), std::end(numbers), finite) &&
                              std::all_of(std::begin(maybe), std::end(maybe), finite);
    return true;
}

bool read_heartbeat(const Map &map, Header &header, Rejection &why) {
    header.kind = Kind::heartbeat;
    Fields fields(map, "a heartbeat's header");
    std::uint64_t sent = 0;
    if (!read_common(fields, map, header, why) || !read_stats(fields, map, header, why)) {
        return false;
    }
    fields.may("n", sent);
    fields.may("ctl", header.control_endpoint);
    fields.may("shm", header.ring);
    header.encodings = BUNRAKU_RAW;
    Value names;
    if (fields.array("enc", names)) {
        Array array(names, map.end());
        for (Value name; array.next(name);) {
            if (name.type != Type::string) {
                fields.fail("enc", "holds something that is not a string");
            } else {
                header.encodings |= encoding_of(name.text());
            }
        }
    }
    if (!fields.all_good(why)) {
        return false;
    }
    return header.stats_are_finite || why.because("number", "a heartbeat with a number that is not finite");
}

bool read_bye(const Map &map, Header &header, Rejection &why) {
    header.kind = Kind::bye;
    Fields fields(map, "a bye");
    return read_common(fields, map, header, why) && fields.all_good(why);
}

} // namespace

bool is_stream_name(std::string_view name) {
    return !name.empty() && name.size() <= MAX_STREAM_BYTES && std::all_of(name.begin(), name.end(), is_name_byte);
}

bool split_topic(Bytes topic, Topic &parsed, Rejection &why) {
    const std::string_view text(reinterpret_cast<const char *>(topic.data), topic.size);
    const auto reject = [&] {
        return why.because("topic", "a topic of %zu bytes that is not avf<major>/<stream>", topic.size);
    };
    if (text.size() > MAX_TOPIC_BYTES || text.substr(0, 3) != "avf") {
        return reject();
    }
    std::size_t at = 3;
    parsed.major = 0;
    for (; at < text.size() && text[at] >= '0' && text[at] <= '9' && at < 3 + 5; ++at) {
        parsed.major = 10 * parsed.major + static_cast<unsigned>(text[at] - '0');
    }
    if (at == 3 || at == text.size()) {
        return reject();
    }
    const std::size_t slash = text.find('/', at);
    if (slash == std::string_view::npos) {
        return reject();
    }
    parsed.variant = {};
    if (text[at] == '.') {
        parsed.variant = text.substr(at + 1, slash - at - 1);
        if (parsed.variant.empty() || parsed.variant.size() > MAX_VARIANT_BYTES ||
            !std::all_of(parsed.variant.begin(), parsed.variant.end(), is_variant_byte)) {
            return reject();
        }
    } else if (at != slash) {
        return reject();
    }
    parsed.stream = text.substr(slash + 1);
    return is_stream_name(parsed.stream) || reject();
}

std::uint32_t encoding_of_variant(std::string_view variant) {
    if (variant.empty()) {
        return BUNRAKU_RAW;
    }
    if (variant == "lz4") {
        return BUNRAKU_LZ4;
    }
    if (variant == "jpeg") {
        return BUNRAKU_JPEG;
    }
    return variant == "shm" ? static_cast<std::uint32_t>(BUNRAKU_SHM) : 0;
}

bool read_header(const Bytes *parts, std::size_t part_count, Header &header, Rejection &why) {
    const Bytes packed = parts[1];
    if (!check_map(packed.data, packed.size, MAX_HEADER_KEYS, why)) {
        return false;
    }
    const Map map(packed.data, packed.data + packed.size);
    const Bytes *const payload = parts + MIN_PARTS;
    const std::size_t payload_count = part_count - MIN_PARTS;
    Value kind;
    if (!map.find("k", kind) || kind.type != Type::string) {
        return why.because("kind", "no kind of message is named");
    }
    if (kind.text() == "f") {
        return read_frame(map, payload, payload_count, header, why);
    }
    if (kind.text() != "h" && kind.text() != "b") {
        return why.because("kind", "unknown kind of message '%.*s'", shown(kind.text()), kind.text().data());
    }
    if (payload_count != 0) {
        return why.because("parts", "%zu payload parts where none belong", payload_count);
    }
    return kind.text() == "h" ? read_heartbeat(map, header, why) : read_bye(map, header, why);
}

} // namespace bunraku
