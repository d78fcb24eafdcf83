// The one clock of the bridge: nanoseconds that all processes of this host share. Twin of engine_bridge/clock.py.
#pragma once

#include <cstdint>

namespace bunraku {

std::int64_t now_ns();

// What to add to now_ns() to get Unix time.
std::int64_t unix_offset_ns();

// What to add to (now - stamp) to get the age of a producer's stamp: 0 if both read the same clock.
std::int64_t clock_correction_ns(bool producer_tells_offset, std::int64_t producer_offset_ns);

// How old a stamp is. Stamps come from outside and may be anything, so this wraps around rather than overflows.
inline std::int64_t age_ns(std::int64_t now, std::int64_t stamp, std::int64_t correction) {
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(now) - static_cast<std::uint64_t>(stamp) +
                                     static_cast<std::uint64_t>(correction));
}

} // namespace bunraku
