// CRC-32 as zlib computes it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bunraku {

// so_far: of the bytes before these, if they come in pieces.
std::uint32_t crc32(const std::uint8_t *data, std::size_t size, std::uint32_t so_far = 0);

} // namespace bunraku
