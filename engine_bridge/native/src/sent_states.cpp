#include "sent_states.h"

namespace bunraku {

void SentStates::sent(std::uint64_t control_id, std::int64_t timestamp_ns) {
    const std::lock_guard<std::mutex> lock(mutex_);
    states_[control_id % REMEMBERED] = {control_id, timestamp_ns};
}

void SentStates::seen(std::uint64_t control_id, std::int64_t timestamp_ns, std::int64_t now_ns) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const State &state = states_[control_id % REMEMBERED];
    if (control_id <= last_seen_ || state.control_id != control_id || state.timestamp_ns != timestamp_ns) {
        return;
    }
    last_seen_ = control_id;
    durations_.add(now_ns - timestamp_ns);
}

Percentiles SentStates::motion_to_photon() const {
    Durations durations;
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        durations = durations_;
    }
    return durations.percentiles();
}

} // namespace bunraku
