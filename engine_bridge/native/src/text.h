// Texts of unknown length into the fixed fields of the C ABI.
#pragma once

#include <cstddef>
#include <cstring>
#include <string_view>

namespace bunraku {

// Copies with a zero at the end, cut off between two characters of UTF-8 if need be.
inline void copy_text(std::string_view text, char *out, std::size_t out_bytes) {
    std::size_t length = text.size();
    if (length >= out_bytes) {
        length = out_bytes - 1;
        while (length > 0 && (static_cast<unsigned char>(text[length]) & 0xc0) == 0x80) {
            --length;
        }
    }
    if (length > 0) {
        std::memcpy(out, text.data(), length);
    }
    std::memset(out + length, 0, out_bytes - length);
}

template <std::size_t SIZE> void copy_text(std::string_view text, char (&out)[SIZE]) { copy_text(text, out, SIZE); }

} // namespace bunraku
