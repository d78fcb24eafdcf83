// Which control states this client sent and when, to tell motion to photon from the echo in a frame.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>

#include "statistics.h"

namespace bunraku {

class SentStates {
public:
    void sent(std::uint64_t control_id, std::int64_t timestamp_ns);

    // A frame that shows that state was taken now. Only the first one of each state counts: what comes later shows how
    // long the state was held.
    void seen(std::uint64_t control_id, std::int64_t timestamp_ns, std::int64_t now_ns);

    Percentiles motion_to_photon() const;

private:
    static constexpr std::size_t REMEMBERED = 256;

    struct State {
        std::uint64_t control_id = 0;
        std::int64_t timestamp_ns = 0;
    };

    mutable std::mutex mutex_;
    std::array<State, REMEMBERED> states_{};
    std::uint64_t last_seen_ = 0;
    Durations durations_;
};

} // namespace bunraku
