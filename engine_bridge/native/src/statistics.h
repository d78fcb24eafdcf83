// Percentiles over the last durations, without allocation.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace bunraku {

struct Percentiles {
    double p50_ms; // NaN while there is none
    double p99_ms;
};

// The last 1024 durations, nanoseconds.
class Durations {
public:
    void add(std::int64_t duration_ns);

    void clear() { added_ = 0; }

    // Interpolates between neighbours, as numpy does.
    Percentiles percentiles() const;

private:
    static constexpr std::size_t KEPT = 1024;

    std::array<std::int64_t, KEPT> values_{};
    std::uint64_t added_ = 0;
};

} // namespace bunraku
