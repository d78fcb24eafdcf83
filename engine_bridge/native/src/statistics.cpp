#include "statistics.h"

#include <algorithm>
#include <limits>

namespace bunraku {

void Durations::add(std::int64_t duration_ns) {
    values_[added_ % KEPT] = duration_ns;
    ++added_;
}

Percentiles Durations::percentiles() const {
    const std::size_t count = static_cast<std::size_t>(std::min<std::uint64_t>(added_, KEPT));
    if (count == 0) {
        const double none = std::numeric_limits<double>::quiet_NaN();
        return {none, none};
    }
    std::array<std::int64_t, KEPT> sorted = values_;
    std::sort(sorted.begin(), sorted.begin() + static_cast<std::ptrdiff_t>(count));
    const auto at = [&](double fraction) {
        const double place = fraction * static_cast<double>(count - 1);
        const auto below = static_cast<std::size_t>(place);
        const std::size_t above = std::min(below + 1, count - 1);
        const double weight = place - static_cast<double>(below);
        const double value =
            static_cast<double>(sorted[below]) * (1.0 - weight) + static_cast<double>(sorted[above]) * weight;
        return value / 1e6;
    };
    return {at(0.50), at(0.99)};
}

} // namespace bunraku
