#include "clock.h"

#include <chrono>

#if defined(_WIN32)
#include <windows.h>
#elif defined(__APPLE__)
#include <mach/mach_time.h>
#else
#include <time.h>
#endif

namespace bunraku {
namespace {

constexpr std::int64_t SECOND_NS = 1'000'000'000;

} // namespace

// Not std::chrono::steady_clock: standard libraries differ in what they base it on, and Python's perf_counter_ns must
// read the same numbers.
#if defined(_WIN32)
std::int64_t now_ns() {
    static const std::int64_t frequency = [] {
        LARGE_INTEGER ticks_per_second;
        QueryPerformanceFrequency(&ticks_per_second);
        return static_cast<std::int64_t>(ticks_per_second.QuadPart);
    }();
    LARGE_INTEGER ticks;
    QueryPerformanceCounter(&ticks);
    const auto count = static_cast<std::int64_t>(ticks.QuadPart);
    return count / frequency * SECOND_NS + count % frequency * SECOND_NS / frequency;
}
#elif defined(__APPLE__)
std::int64_t now_ns() {
    static const mach_timebase_info_data_t timebase = [] {
        mach_timebase_info_data_t info;
        mach_timebase_info(&info);
        return info;
    }();
    const std::uint64_t ticks = mach_absolute_time();
    return static_cast<std::int64_t>(ticks / timebase.denom * timebase.numer +
                                     ticks % timebase.denom * timebase.numer / timebase.denom);
}
#else
std::int64_t now_ns() {
    timespec time{};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return std::int64_t{time.tv_sec} * SECOND_NS + time.tv_nsec;
}
#endif

std::int64_t unix_offset_ns() {
    const auto unix_time = std::chrono::system_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::nanoseconds>(unix_time).count() - now_ns();
}

std::int64_t clock_correction_ns(bool producer_tells_offset, std::int64_t producer_offset_ns) {
    if (!producer_tells_offset) {
        return 0;
    }
    // Unsigned, since the producer's number may be anything.
    const std::uint64_t difference =
        static_cast<std::uint64_t>(unix_offset_ns()) - static_cast<std::uint64_t>(producer_offset_ns);
    const auto correction = static_cast<std::int64_t>(difference);
    const bool same_clock = correction > -SECOND_NS && correction < SECOND_NS;
    return same_clock ? 0 : correction;
}

} // namespace bunraku
