// Memory that only grows: after the first frame of a size nothing is allocated any more.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

namespace bunraku {

class Buffer {
public:
    // Makes room for that many bytes, whose contents are then undefined. Says false if there is no memory.
    bool reserve(std::size_t bytes) {
        if (bytes <= capacity_) {
            return true;
        }
        bytes_.reset();
        capacity_ = 0;
        bytes_.reset(new (std::nothrow) std::uint8_t[bytes]);
        capacity_ = bytes_ ? bytes : 0;
        return capacity_ != 0;
    }

    std::uint8_t *data() { return bytes_.get(); }
    const std::uint8_t *data() const { return bytes_.get(); }

private:
    std::unique_ptr<std::uint8_t[]> bytes_;
    std::size_t capacity_ = 0;
};

} // namespace bunraku
