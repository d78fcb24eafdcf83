// A client of the bridge on the native library, for tests that stop it, starve it and lie to it. Twin of link_peer.py.
//
//     link_peer FRAMES_ENDPOINT CONTROL_ENDPOINT
#include <chrono>
#include <cmath>
#include <cstdio>
#include <thread>

#include "bunraku/client.hpp"

int main(int count, char **arguments) {
    const char *const states[] = {"lost", "live", "stale", "error", "incompatible"};
    if (count < 3) {
        return 2;
    }
    bunraku_options options = bunraku::Client::options();
    options.endpoint = arguments[1];
    options.control_endpoint = arguments[2];
    bunraku::Client client;
    if (!client.open(options)) {
        std::fprintf(stderr, "%s\n", client.why());
        return 1;
    }
    bunraku::Wanted wanted;
    unsigned long long frame_id = 0;
    double echo_ms = -1.0;
    for (int round = 0;; ++round) {
        wanted.hold("headYaw", static_cast<float>(10.0 * std::sin(round / 60.0)));
        client.send(wanted);
        if (const bunraku::Frame frame = client.acquire()) {
            frame_id = frame->frame_id;
            echo_ms = static_cast<double>(bunraku_now_ns() - frame->control_timestamp_ns) / 1e6;
        }
        if (round % 12 == 0) {
            const bunraku_status status = client.status();
            std::printf("{\"frames\": \"%s\", \"control\": \"%s\", \"frame\": %llu, \"echo_ms\": %.1f}\n",
                        states[status.state], states[status.control_state], frame_id, echo_ms);
            std::fflush(stdout);
        }
        std::this_thread::sleep_for(std::chrono::microseconds(16667));
    }
}
