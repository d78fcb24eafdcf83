// A native client without a network, for tests that must decide when a frame comes and see every lease.
#pragma once

#include <cstdint>

namespace stand_in {

// Every pixel byte of frame n is this, so a reader can tell which frame it really has.
inline std::uint8_t shade_of(std::uint64_t frame_id) {
    return static_cast<std::uint8_t>(1 + frame_id % 251);
}

// What pixels become as soon as they are given back: the receiver thread writes the next frame there.
constexpr std::uint8_t kOverwritten = 0;

// Publish a frame to every open client.
void publish(std::uint64_t frame_id, std::uint32_t width, std::uint32_t height);

// Make the next bunraku_send_control answer this.
void answer_next_send(std::int32_t result);

int states_sent();    // calls of bunraku_send_control, whatever was answered
int controls_sent();  // held in the last one

int open_clients();
int leases();   // given out and not yet back, over all open clients
int misuses();  // releases of what was not leased, and calls on a client that is closed

}  // namespace stand_in
