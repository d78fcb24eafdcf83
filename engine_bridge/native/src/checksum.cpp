#include "checksum.h"

#include <array>

namespace bunraku {
namespace {

constexpr std::uint32_t POLYNOMIAL = 0xedb88320; // of IEEE 802.3, bits reversed
constexpr std::size_t SLICES = 8;

using Tables = std::array<std::array<std::uint32_t, 256>, SLICES>;

// tables[k][b]: what byte b does to the checksum when k more bytes follow it.
constexpr Tables make_tables() {
    Tables tables{};
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
        std::uint32_t value = byte;
        for (int bit = 0; bit < 8; ++bit) {
            value = (value >> 1) ^ (value & 1 ? POLYNOMIAL : 0);
        }
        tables[0][byte] = value;
    }
    for (std::size_t slice = 1; slice < SLICES; ++slice) {
        for (std::size_t byte = 0; byte < 256; ++byte) {
            const std::uint32_t before = tables[slice - 1][byte];
            tables[slice][byte] = (before >> 8) ^ tables[0][before & 0xff];
        }
    }
    return tables;
}

constexpr Tables TABLES = make_tables();

} // namespace

std::uint32_t crc32(const std::uint8_t *data, std::size_t size, std::uint32_t so_far) {
    std::uint32_t value = ~so_far;
    for (; size >= SLICES; data += SLICES, size -= SLICES) {
        std::uint32_t next = 0;
        for (std::size_t i = 0; i < SLICES; ++i) {
            const std::uint32_t byte = data[i] ^ (i < 4 ? value >> (8 * i) & 0xff : 0);
            next ^= TABLES[SLICES - 1 - i][byte];
        }
        value = next;
    }
    for (; size > 0; ++data, --size) {
        value = (value >> 8) ^ TABLES[0][(value ^ *data) & 0xff];
    }
    return ~value;
}

} // namespace bunraku
