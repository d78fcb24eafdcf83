#include "msgpack_writer.h"

#include <cstring>

namespace bunraku {

void Writer::byte(unsigned value) {
    if (size_ < capacity_) {
        out_[size_] = static_cast<std::uint8_t>(value);
    }
    ++size_;
}

void Writer::big_endian(std::uint64_t value, unsigned bytes) {
    while (bytes-- > 0) {
        byte(static_cast<unsigned>(value >> (8 * bytes) & 0xff));
    }
}

void Writer::head(std::size_t count, std::size_t short_below, unsigned short_tag, unsigned long_tag) {
    if (count < short_below) {
        byte(short_tag | static_cast<unsigned>(count));
    } else {
        byte(long_tag);
        big_endian(count, 2);
    }
}

void Writer::packed(const std::uint8_t *data, std::size_t size) {
    if (size != 0 && size_ <= capacity_ && size <= capacity_ - size_) {
        std::memcpy(out_ + size_, data, size);
    }
    size_ += size;
}

void Writer::text(std::string_view value) {
    if (value.size() < 32) {
        byte(0xa0 | static_cast<unsigned>(value.size()));
    } else if (value.size() < 256) {
        byte(0xd9);
        big_endian(value.size(), 1);
    } else {
        byte(0xdb);
        big_endian(value.size(), 4);
    }
    packed(reinterpret_cast<const std::uint8_t *>(value.data()), value.size());
}

void Writer::number(std::uint64_t value) {
    if (value < 0x80) {
        byte(static_cast<unsigned>(value));
        return;
    }
    const unsigned width_log2 = value <= 0xff ? 0 : value <= 0xffff ? 1 : value <= 0xffffffff ? 2 : 3;
    byte(0xcc + width_log2);
    big_endian(value, 1u << width_log2);
}

void Writer::signed_number(std::int64_t value) {
    if (value >= 0) {
        number(static_cast<std::uint64_t>(value));
    } else {
        byte(0xd3);
        big_endian(static_cast<std::uint64_t>(value), 8);
    }
}

void Writer::real(float value) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    byte(0xca);
    big_endian(bits, 4);
}

void Writer::real(double value) {
    std::uint64_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    byte(0xcb);
    big_endian(bits, 8);
}

} // namespace bunraku
