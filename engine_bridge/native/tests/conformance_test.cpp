// Runs the conformance kit (assets/conformance/README.md) through the client, below its sockets.
//
//     conformance_test FOLDER     the folder v1; exit code 0 if every case came out as written, 77 if there is none
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "build.h"
#include "bunraku/client.h"
#include "clock.h"
#include "frame_channel.h"
#include "planes.h"
#include "sha256.h"

#if !defined(_WIN32)
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace fs = std::filesystem;
using namespace bunraku;

namespace {

using Part = std::vector<std::uint8_t>;
using Settings = std::map<std::string, std::string>;

int failures = 0;

void fail(const std::string &where, const std::string &what) {
    std::fprintf(stderr, "%s: %s\n", where.c_str(), what.c_str());
    ++failures;
}

void expect(const std::string &where, const std::string &key, const std::string &expected, const std::string &seen) {
    if (expected != seen) {
        fail(where, key + " is " + seen + ", expected " + expected);
    }
}

Part read_bytes(const fs::path &path) {
    std::ifstream file(path, std::ios::binary);
    return Part(std::istreambuf_iterator<char>(file), {});
}

Settings read_settings_file(const fs::path &path) {
    Settings settings;
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) {
        if (!line.empty() && line.back() == '\r') {
            line.pop_back();
        }
        const std::size_t equals = line.find('=');
        if (equals != std::string::npos) {
            settings[line.substr(0, equals)] = line.substr(equals + 1);
        }
    }
    return settings;
}

const char *state_name(bunraku_state state) {
    switch (state) {
    case BUNRAKU_LOST: return "lost";
    case BUNRAKU_LIVE: return "live";
    case BUNRAKU_STALE: return "stale";
    case BUNRAKU_ERROR: return "error";
    case BUNRAKU_INCOMPATIBLE: return "incompatible";
    }
    return "";
}

// A case's ring of shared memory, under the name that its frames give.
class CaseRing {
public:
    CaseRing(const std::string &name, const Part &contents) : name_(name) {
#if !defined(_WIN32)
        shm_unlink(name.c_str());
        const int file = shm_open(name.c_str(), O_CREAT | O_EXCL | O_RDWR, 0600);
        if (file >= 0) {
            made_ = ftruncate(file, static_cast<off_t>(contents.size())) == 0 &&
                    write(file, contents.data(), contents.size()) == static_cast<ssize_t>(contents.size());
            close(file);
        }
#else
        static_cast<void>(contents);
#endif
    }
    ~CaseRing() {
#if !defined(_WIN32)
        shm_unlink(name_.c_str());
#endif
    }
    CaseRing(const CaseRing &) = delete;
    CaseRing &operator=(const CaseRing &) = delete;

    bool made() const { return made_; }

private:
    std::string name_;
    bool made_ = false;
};

struct Seen {
    std::string result;
    std::map<std::string, std::string> told;
    Part pixels;
};

// A fresh client without sockets: what Receiver does with one message after another.
class Client {
public:
    explicit Client(std::string subscription) : subscription_(std::move(subscription)) {}

    Seen take(const std::vector<Part> &parts) {
        std::vector<Bytes> views;
        for (const Part &part : parts) {
            views.push_back({part.data(), part.size()});
        }
        Topic topic;
        Header header;
        Rejection ignored;
        if (!views.empty() && split_topic(views[0], topic, ignored) && topic.major == MAJOR &&
            !is_subscribed(parts[0])) {
            return {"ignored", {}, {}};
        }
        const std::int64_t now = now_ns();
        switch (channel_.read(views.data(), views.size(), now, topic, header)) {
        case Outcome::heartbeat: return {"heartbeat", {}, {}};
        case Outcome::bye: return {"bye", {}, {}};
        case Outcome::late: return {"late", {}, {}};
        case Outcome::ignored: return {"ignored", {}, {}};
        case Outcome::dropped: return {"drop:" + last_code(), {}, {}};
        case Outcome::news: break;
        }
        Seen seen;
        seen.told = {{"stream", std::string(topic.stream)},
                     {"id", std::to_string(header.id)},
                     {"ses", std::to_string(header.session)},
                     {"w", std::to_string(header.width)},
                     {"h", std::to_string(header.height)},
                     {"eng", std::string(header.provider)},
                     {"tc", std::to_string(header.capture_ns)},
                     {"tr", std::to_string(header.render_start_ns)},
                     {"tp", std::to_string(header.publish_ns)},
                     {"ca", std::to_string(header.control_id)},
                     {"ct", std::to_string(header.control_timestamp_ns)}};
        seen.pixels.resize(std::size_t{4} * header.width * header.height);
        Rejection why;
        switch (decoder_.decode(header, views.data() + MIN_PARTS, {}, seen.pixels.data(), why)) {
        case Decoded::good:
            channel_.shown(header, now, false);
            seen.result = "frame";
            break;
        case Decoded::overtaken:
            channel_.overtaken(header, now);
            seen.result = "overtaken";
            break;
        case Decoded::rejected:
            channel_.undecodable(header, why, now);
            seen.result = "drop:" + last_code();
            break;
        }
        return seen;
    }

    std::string state() const { return state_name(channel_.state(now_ns())); }

private:
    bool is_subscribed(const Part &topic) const {
        return topic.size() >= subscription_.size() &&
               std::equal(subscription_.begin(), subscription_.end(), topic.begin());
    }
    std::string last_code() const {
        bunraku_status status{};
        last_error_.fill(status);
        return status.last_error_code;
    }

    std::string subscription_;
    LastError last_error_;
    FrameChannel channel_{"", last_error_};
    PlaneDecoder decoder_;
};

// What a case needs that this build has not, empty if nothing.
std::string missing(const Settings &settings) {
    const auto needs = settings.find("needs");
    std::string rest = needs == settings.end() ? "" : needs->second;
    while (!rest.empty()) {
        const std::size_t comma = rest.find(',');
        const std::string name = rest.substr(0, comma);
        rest = comma == std::string::npos ? "" : rest.substr(comma + 1);
#if defined(_WIN32)
        const bool has_rings = false; // the cases name POSIX rings
#else
        const bool has_rings = true;
#endif
        if ((encoding_of_variant(name) & BUILT_ENCODINGS) == 0 || (name == "shm" && !has_rings)) {
            return name;
        }
    }
    return "";
}

void compare_pixels(const std::string &where, const fs::path &folder, const std::string &message,
                    const Settings &settings, const Part &pixels) {
    const auto hash = settings.find(message + ".sha256");
    if (hash != settings.end()) {
        expect(where, "sha256", hash->second, sha256_hex(pixels.data(), pixels.size()));
    }
    const auto near = settings.find(message + ".near");
    if (near == settings.end()) {
        return;
    }
    const Part expected = read_bytes(folder / (message + ".rgba.bin"));
    int largest = expected.size() == pixels.size() ? 0 : 256;
    for (std::size_t i = 0; i < pixels.size() && largest < 256; ++i) {
        largest = std::max(largest, std::abs(int{pixels[i]} - int{expected[i]}));
    }
    if (largest > std::atoi(near->second.c_str())) {
        fail(where, "differs by " + std::to_string(largest) + ", allowed are " + near->second);
    }
}

std::vector<Part> parts_of(const fs::path &folder, const std::string &message) {
    std::vector<Part> parts;
    for (int index = 0; fs::exists(folder / (message + "." + std::to_string(index) + ".bin")); ++index) {
        parts.push_back(read_bytes(folder / (message + "." + std::to_string(index) + ".bin")));
    }
    return parts;
}

// Says false if the case was left out.
bool run_case(const fs::path &folder) {
    const std::string name = folder.filename().string();
    const Settings settings = read_settings_file(folder / "expect.txt");
    const std::string lacks = missing(settings);
    if (!lacks.empty()) {
        std::printf("skipped %s: this build has no %s\n", name.c_str(), lacks.c_str());
        return false;
    }
    std::optional<CaseRing> ring;
    if (settings.count("ring") != 0) {
        ring.emplace(settings.at("ring"), read_bytes(folder / "ring.bin"));
        if (!ring->made()) {
            fail(name, "the ring " + settings.at("ring") + " cannot be made");
        }
    }
    const auto topic = settings.find("topic");
    Client client(topic == settings.end() ? "avf1/" : topic->second);
    int messages = 0;
    for (; settings.count(std::to_string(messages) + ".result") != 0; ++messages) {
        const std::string message = std::to_string(messages);
        const std::string where = name + " message " + message;
        const Seen seen = client.take(parts_of(folder, message));
        expect(where, "result", settings.at(message + ".result"), seen.result);
        if (settings.count(message + ".state") != 0) {
            expect(where, "state", settings.at(message + ".state"), client.state());
        }
        for (const auto &[key, value] : seen.told) {
            const auto expected = settings.find(message + "." + key);
            if (expected != settings.end()) {
                expect(where, key, expected->second, value);
            }
        }
        compare_pixels(where, folder, message, settings, seen.pixels);
    }
    if (messages == 0) {
        fail(name, "expects nothing");
    }
    return true;
}

struct Field {
    const char *name;
    std::size_t offset, size;
};

#define STRUCT(type) {#type, 0, sizeof(type)}
#define FIELD(type, field) {#type "." #field, offsetof(type, field), sizeof(static_cast<type *>(nullptr)->field)}

const Field FIELDS[] = {
    STRUCT(bunraku_options),
    FIELD(bunraku_options, struct_size),
    FIELD(bunraku_options, encodings),
    FIELD(bunraku_options, pixel_format),
    FIELD(bunraku_options, flags),
    FIELD(bunraku_options, endpoint),
    FIELD(bunraku_options, control_endpoint),
    FIELD(bunraku_options, stream),
    FIELD(bunraku_options, client_name),
    FIELD(bunraku_options, curve_server_key),
    FIELD(bunraku_options, curve_public_key),
    FIELD(bunraku_options, curve_secret_key),
    FIELD(bunraku_options, wanted_fps),
    FIELD(bunraku_options, reserved),
    STRUCT(bunraku_frame),
    FIELD(bunraku_frame, struct_size),
    FIELD(bunraku_frame, lease),
    FIELD(bunraku_frame, width),
    FIELD(bunraku_frame, height),
    FIELD(bunraku_frame, stride),
    FIELD(bunraku_frame, pixel_format),
    FIELD(bunraku_frame, encoding),
    FIELD(bunraku_frame, reserved),
    FIELD(bunraku_frame, byte_count),
    FIELD(bunraku_frame, pixels),
    FIELD(bunraku_frame, frame_id),
    FIELD(bunraku_frame, session),
    FIELD(bunraku_frame, capture_ns),
    FIELD(bunraku_frame, render_start_ns),
    FIELD(bunraku_frame, publish_ns),
    FIELD(bunraku_frame, received_ns),
    FIELD(bunraku_frame, age_ns),
    FIELD(bunraku_frame, control_id),
    FIELD(bunraku_frame, control_timestamp_ns),
    FIELD(bunraku_frame, stream),
    FIELD(bunraku_frame, provider),
    STRUCT(bunraku_status),
    FIELD(bunraku_status, struct_size),
    FIELD(bunraku_status, state),
    FIELD(bunraku_status, control_state),
    FIELD(bunraku_status, encoding),
    FIELD(bunraku_status, session),
    FIELD(bunraku_status, received),
    FIELD(bunraku_status, shown),
    FIELD(bunraku_status, skipped),
    FIELD(bunraku_status, late),
    FIELD(bunraku_status, missed),
    FIELD(bunraku_status, bad),
    FIELD(bunraku_status, reconnects),
    FIELD(bunraku_status, control_sent),
    FIELD(bunraku_status, control_refused),
    FIELD(bunraku_status, age_arrival_ms_p50),
    FIELD(bunraku_status, age_arrival_ms_p99),
    FIELD(bunraku_status, age_take_ms_p50),
    FIELD(bunraku_status, age_take_ms_p99),
    FIELD(bunraku_status, motion_to_photon_ms_p50),
    FIELD(bunraku_status, producer_fps),
    FIELD(bunraku_status, producer_engine_ms_p50),
    FIELD(bunraku_status, stream),
    FIELD(bunraku_status, provider),
    FIELD(bunraku_status, last_error_code),
    FIELD(bunraku_status, last_error),
    FIELD(bunraku_status, made_by_ai),
    FIELD(bunraku_status, reserved),
    FIELD(bunraku_status, generator),
    FIELD(bunraku_status, source),
    FIELD(bunraku_status, model),
    STRUCT(bunraku_info),
    FIELD(bunraku_info, struct_size),
    FIELD(bunraku_info, width),
    FIELD(bunraku_info, height),
    FIELD(bunraku_info, has_mapping),
    FIELD(bunraku_info, control_count),
    FIELD(bunraku_info, identity_count),
    FIELD(bunraku_info, expression_count),
    FIELD(bunraku_info, reserved),
    FIELD(bunraku_info, fps),
    FIELD(bunraku_info, character),
    STRUCT(bunraku_control_spec),
    FIELD(bunraku_control_spec, struct_size),
    FIELD(bunraku_control_spec, minimum),
    FIELD(bunraku_control_spec, maximum),
    FIELD(bunraku_control_spec, rest),
    FIELD(bunraku_control_spec, name),
    FIELD(bunraku_control_spec, group),
    STRUCT(bunraku_control),
    FIELD(bunraku_control, name),
    FIELD(bunraku_control, value),
    FIELD(bunraku_control, reserved),
    STRUCT(bunraku_control_state),
    FIELD(bunraku_control_state, struct_size),
    FIELD(bunraku_control_state, control_count),
    FIELD(bunraku_control_state, controls),
    FIELD(bunraku_control_state, identity),
    FIELD(bunraku_control_state, seed),
    FIELD(bunraku_control_state, mix_identity),
    FIELD(bunraku_control_state, mix_seed),
    FIELD(bunraku_control_state, mix_amount),
    FIELD(bunraku_control_state, truncation_psi),
    FIELD(bunraku_control_state, expression),
    FIELD(bunraku_control_state, calibrate),
    FIELD(bunraku_control_state, reserved),
};

void check_abi(const fs::path &path) {
    const Settings settings = read_settings_file(path);
    if (settings.empty()) {
        fail("abi.txt", "is empty");
    }
    for (const auto &[name, expected] : settings) {
        const auto *const field = std::find_if(std::begin(FIELDS), std::end(FIELDS),
                                               [&name = name](const Field &one) { return one.name == name; });
        if (field == std::end(FIELDS)) {
            fail("abi.txt", name + " is unknown");
        } else if (name.find('.') == std::string::npos) {
            expect("abi.txt", name, expected, std::to_string(field->size));
        } else {
            expect("abi.txt", name, expected, std::to_string(field->offset) + "," + std::to_string(field->size));
        }
    }
}

} // namespace

int main(int count, char **arguments) {
    if (count != 2) {
        std::fprintf(stderr, "usage: conformance_test FOLDER\n");
        return 2;
    }
    const fs::path root = arguments[1];
    std::vector<fs::path> cases;
    if (fs::is_directory(root / "cases")) {
        for (const fs::directory_entry &entry : fs::directory_iterator(root / "cases")) {
            if (entry.is_directory()) {
                cases.push_back(entry.path());
            }
        }
    }
    if (cases.empty()) {
        std::printf("skipped: there are no cases in %s\n", root.string().c_str());
        return 77;
    }
    std::sort(cases.begin(), cases.end());
    int run = 0;
    for (const fs::path &folder : cases) {
        run += run_case(folder) ? 1 : 0;
    }
    if (fs::exists(root / "abi.txt")) {
        check_abi(root / "abi.txt");
    }
    std::printf("%d of %zu cases run, %d differences\n", run, cases.size(), failures);
    return failures == 0 && run > 0 ? 0 : 1;
}
