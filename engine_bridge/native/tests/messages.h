// Messages of the frame channel as a producer would send them, and slightly wrong ones.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "header.h"
#include "msgpack_writer.h"

namespace messages {

using Part = std::vector<std::uint8_t>;

// msgpack of any length.
class Packer {
public:
    template <typename Write> void operator()(const Write &write) {
        std::vector<std::uint8_t> room(256 * 1024);
        bunraku::Writer writer(room.data(), room.size());
        write(writer);
        bytes.insert(bytes.end(), room.begin(), room.begin() + static_cast<std::ptrdiff_t>(writer.size()));
    }

    Part bytes;
};

struct SentPlane {
    std::string encoding = "raw", role = "rgba";
    std::uint64_t decoded = 0, wire = 0;
    std::string ring;
    std::uint64_t slot = 0, sequence = 0;
};

// A frame whose every key can be bent before it is packed.
struct Frame {
    std::string topic = "avf1/aki";
    std::uint64_t session = 7, id = 1, width = 2, height = 1;
    std::string format = "rgba8", colour_space, alpha_mode, origin;
    std::vector<SentPlane> planes;
    std::uint64_t stride = 0; // 0: not told
    std::int64_t publish_ns = 0;
    std::uint64_t control_id = 0;
    std::int64_t control_timestamp_ns = 0;
    std::string provider;
    std::uint64_t crc = 0;
    bool tells_crc = false;
    std::vector<Part> payload;
    Part more; // packed pairs to add
    std::size_t more_pairs = 0;

    std::vector<Part> parts() const {
        Packer packer;
        packer([&](bunraku::Writer &writer) {
            std::size_t pairs = 8 + more_pairs;
            for (const std::string *text : {&colour_space, &alpha_mode, &origin, &provider}) {
                pairs += text->empty() ? 0 : 1;
            }
            pairs +=
                (stride != 0 ? 1 : 0) + (publish_ns != 0 ? 1 : 0) + (control_id != 0 ? 2 : 0) + (tells_crc ? 1 : 0);
            writer.map(pairs);
            text(writer, "k", "f");
            number(writer, "v", 1);
            number(writer, "ses", session);
            number(writer, "id", id);
            number(writer, "w", width);
            number(writer, "h", height);
            text(writer, "f", format);
            for (const auto &[key, value] :
                 {std::pair{"cs", colour_space}, {"am", alpha_mode}, {"org", origin}, {"eng", provider}}) {
                if (!value.empty()) {
                    text(writer, key, value);
                }
            }
            if (stride != 0) {
                number(writer, "st", stride);
            }
            if (publish_ns != 0) {
                writer.text("tp");
                writer.signed_number(publish_ns);
            }
            if (control_id != 0) {
                number(writer, "ca", control_id);
                writer.text("ct");
                writer.signed_number(control_timestamp_ns);
            }
            if (tells_crc) {
                number(writer, "crc", crc);
            }
            writer.packed(more.data(), more.size());
            writer.text("pl");
            writer.array(planes.size());
            for (const SentPlane &plane : planes) {
                writer.map(plane.ring.empty() ? 4 : 7);
                text(writer, "e", plane.encoding);
                text(writer, "r", plane.role);
                number(writer, "n", plane.decoded);
                number(writer, "z", plane.wire);
                if (!plane.ring.empty()) {
                    text(writer, "name", plane.ring);
                    number(writer, "slot", plane.slot);
                    number(writer, "seq", plane.sequence);
                }
            }
        });
        std::vector<Part> all{Part(topic.begin(), topic.end()), packer.bytes};
        all.insert(all.end(), payload.begin(), payload.end());
        return all;
    }

private:
    static void text(bunraku::Writer &writer, const char *key, const std::string &value) {
        writer.text(key);
        writer.text(value);
    }
    static void number(bunraku::Writer &writer, const char *key, std::uint64_t value) {
        writer.text(key);
        writer.number(value);
    }
};

// A good raw frame; every pixel holds `fill`.
inline Frame raw_frame(std::uint64_t id, std::uint32_t width = 2, std::uint32_t height = 1, std::uint8_t fill = 0) {
    Frame frame;
    frame.id = id;
    frame.width = width;
    frame.height = height;
    const std::size_t bytes = std::size_t{4} * width * height;
    frame.planes = {SentPlane{"raw", "rgba", bytes, bytes, "", 0, 0}};
    frame.payload = {Part(bytes, fill)};
    return frame;
}

struct Heartbeat {
    std::string topic = "avf1/aki";
    std::uint64_t session = 7, last_id = 0;
    std::vector<std::string> encodings = {"raw"};
    std::string ring, control;

    std::vector<Part> parts() const {
        Packer packer;
        packer([&](bunraku::Writer &writer) {
            writer.map(5 + (ring.empty() ? 0 : 1) + (control.empty() ? 0 : 1));
            writer.text("k");
            writer.text("h");
            writer.text("v");
            writer.number(1);
            writer.text("ses");
            writer.number(session);
            writer.text("id");
            writer.number(last_id);
            writer.text("enc");
            writer.array(encodings.size());
            for (const std::string &encoding : encodings) {
                writer.text(encoding);
            }
            if (!ring.empty()) {
                writer.text("shm");
                writer.text(ring);
            }
            if (!control.empty()) {
                writer.text("ctl");
                writer.text(control);
            }
        });
        return {Part(topic.begin(), topic.end()), packer.bytes};
    }
};

inline std::vector<Part> bye(std::uint64_t session) {
    Packer packer;
    packer([&](bunraku::Writer &writer) {
        writer.map(4);
        writer.text("k");
        writer.text("b");
        writer.text("v");
        writer.number(1);
        writer.text("ses");
        writer.number(session);
        writer.text("id");
        writer.number(0);
    });
    const std::string topic = "avf1/aki";
    return {Part(topic.begin(), topic.end()), packer.bytes};
}

inline std::vector<bunraku::Bytes> views(const std::vector<Part> &parts) {
    std::vector<bunraku::Bytes> all;
    for (const Part &part : parts) {
        all.push_back({part.data(), part.size()});
    }
    return all;
}

} // namespace messages
