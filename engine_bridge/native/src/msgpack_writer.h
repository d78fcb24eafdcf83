// msgpack into memory of fixed size; what does not fit is noticed at the end. Writes the smallest form of everything.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace bunraku {

class Writer {
public:
    Writer(std::uint8_t *out, std::size_t capacity) : out_(out), capacity_(capacity) {}

    void map(std::size_t pairs) { head(pairs, 16, 0x80, 0xde); }
    void array(std::size_t elements) { head(elements, 16, 0x90, 0xdc); }
    void text(std::string_view value);
    void number(std::uint64_t value);
    void signed_number(std::int64_t value);
    void real(float value);
    void real(double value);
    void boolean(bool value) { byte(value ? 0xc3 : 0xc2); }

    // Bytes that are msgpack already.
    void packed(const std::uint8_t *data, std::size_t size);

    bool fits() const { return size_ <= capacity_; }
    std::size_t size() const { return size_; }

private:
    void byte(unsigned value);
    void big_endian(std::uint64_t value, unsigned bytes);
    void head(std::size_t count, std::size_t short_below, unsigned short_tag, unsigned long_tag);

    std::uint8_t *out_;
    std::size_t capacity_;
    std::size_t size_ = 0; // also of what did not fit
};

} // namespace bunraku
