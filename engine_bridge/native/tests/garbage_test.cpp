// A hundred thousand broken messages through a real socket: no crash, no growth, and the next good frame is shown.
//
//     garbage_test [MESSAGES]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <random>

#include "messages.h"
#include "producer.h"

using namespace producer;
using messages::Frame;
using messages::raw_frame;

namespace {

constexpr int GOOD_EVERY = 15; // so that the client never gives up and pauses
[[maybe_unused]] constexpr double MAX_GROWTH_MIB = 16.0;
constexpr std::uint64_t LAST_SESSION = 99;
const std::string TOPIC = "avf1/aki";

// Memory in use by this process, 0 where that cannot be told.
double resident_mib() {
    std::ifstream file("/proc/self/statm");
    long pages = 0;
    long resident = 0;
    return file >> pages >> resident ? static_cast<double>(resident) * 4096.0 / (1024.0 * 1024.0) : 0.0;
}

class Mutator {
public:
    std::vector<Part> next() {
        std::vector<Part> parts = good();
        const std::size_t changes = 1 + below(4);
        for (std::size_t i = 0; i < changes; ++i) {
            change(parts);
        }
        parts.resize(std::max<std::size_t>(parts.size(), 1));
        if (below(8) != 0) {
            parts[0] = Part(TOPIC.begin(), TOPIC.end()); // or the subscription lets hardly anything through
        }
        return parts;
    }

private:
    std::vector<Part> good() {
        messages::Heartbeat heartbeat;
        switch (below(4)) {
        case 0: return heartbeat.parts();
        case 1: return messages::bye(7);
        default: break;
        }
        Frame frame = raw_frame(random_(), 8, 8, 3);
        frame.provider = "synthetic";
        frame.tells_crc = below(2) == 0;
        frame.crc = random_();
        if (below(4) == 0) {
            frame.planes = {{"jpeg", "rgb", 192, 100, "", 0, 0}, {"lz4", "a", 64, 30, "", 0, 0}};
            frame.payload = {noise(100), noise(30)};
        } else if (below(4) == 0) {
            frame.planes = {{"shm", "rgba", 256, 0, "/bunraku-nobody", below(8), below(8)}};
            frame.payload = {Part{}};
        }
        return frame.parts();
    }

    void change(std::vector<Part> &parts) {
        if (parts.empty()) {
            return;
        }
        Part &part = parts[below(parts.size())];
        switch (below(6)) {
        case 0: // a bit
            if (!part.empty()) {
                part[below(part.size())] ^= static_cast<std::uint8_t>(1u << below(8));
            }
            break;
        case 1: // the end
            part.resize(below(part.size() + 1));
            break;
        case 2: { // a stretch
            const Part bytes = noise(1 + below(16));
            const std::size_t at = below(part.size() + 1);
            part.insert(part.begin() + static_cast<std::ptrdiff_t>(at), bytes.begin(), bytes.end());
            break;
        }
        case 3: // a part too many
            parts.push_back(noise(below(64)));
            break;
        case 4: // a part too few
            parts.pop_back();
            break;
        default: // nonsense instead
            part = noise(below(200));
            break;
        }
    }

    Part noise(std::size_t size) {
        Part bytes(size);
        std::generate(bytes.begin(), bytes.end(), [this] { return static_cast<std::uint8_t>(random_()); });
        return bytes;
    }
    std::size_t below(std::size_t limit) { return random_() % limit; }

    std::mt19937 random_{20}; // the same messages every time
};

} // namespace

int main(int count, char **arguments) {
    const int messages = count > 1 ? std::atoi(arguments[1]) : 100000;
    Producer producer;
    producer.wait_for_slow_clients();
    Client client(producer.frames_endpoint, [](bunraku_options &options) { options.stream = "aki"; });
    if (!producer.wait_for_subscriber(TOPIC)) {
        return 1;
    }
    Mutator mutator;
    double before_mib = 0.0;
    std::uint64_t id = 0;
    for (int i = 0; i < messages; ++i) {
        if (i % GOOD_EVERY == 0) {
            // A client that was kept from running finds more waiting than any producer sends, and connects again; what
            // is sent before it is back, it never sees.
            if (!producer.wait_for_subscriber(TOPIC)) {
                return 1;
            }
            Frame frame = raw_frame(++id, 8, 8);
            frame.session = 8;
            producer.send(frame.parts());
            bunraku_frame taken{};
            taken.struct_size = sizeof taken;
            if (bunraku_acquire(client, &taken) == BUNRAKU_NEW_FRAME) {
                bunraku_release(client, taken.lease);
            }
        }
        if (i == messages / 5) {
            before_mib = resident_mib();
        }
        producer.send(mutator.next());
    }
    Frame last = raw_frame(1, 8, 8, 42);
    last.session = LAST_SESSION;
    bunraku_frame frame{};
    frame.struct_size = sizeof frame;
    // Send it until it arrives: after so many broken messages the client may be reconnecting and miss the first one.
    CHECK(eventually([&] {
        producer.send(last.parts());
        if (bunraku_acquire(client, &frame) != BUNRAKU_NEW_FRAME) {
            return false;
        }
        bunraku_release(client, frame.lease);
        return frame.session == LAST_SESSION;
    }));
    const double growth_mib = resident_mib() - before_mib;
    const bunraku_status status = client.status();
    std::printf("%d broken messages: %llu dropped (last: %s), %llu late, %llu reconnects, memory grew by %.1f MiB\n",
                messages, static_cast<unsigned long long>(status.bad), status.last_error_code,
                static_cast<unsigned long long>(status.late), static_cast<unsigned long long>(status.reconnects),
                growth_mib);
    CHECK_EQUAL(frame.session, LAST_SESSION);
    CHECK(status.bad > static_cast<std::uint64_t>(messages) / 4);
#if !defined(BUNRAKU_SANITIZED) // a sanitizer keeps what was freed
    CHECK(growth_mib < MAX_GROWTH_MIB);
#endif
    return check::failures() == 0 ? 0 : 1;
}
