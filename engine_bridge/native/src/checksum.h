// CRC-32 as zlib computes it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bunraku {

std::uint32_t crc32(const std::uint8_t *data, std::size_t size);

} // namespace bunraku
