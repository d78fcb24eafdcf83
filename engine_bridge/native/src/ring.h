// A reader of the ring of shared memory in which a producer of this host leaves its pixels (docs/protocol.md).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "rejection.h"

namespace bunraku {

class Ring {
public:
    Ring() = default;
    ~Ring() { close(); }
    Ring(const Ring &) = delete;
    Ring &operator=(const Ring &) = delete;

    // Opens the ring of that name for reading. Says false and why (`shm`) if it cannot be used for that session.
    bool open(std::string_view name, std::uint64_t session, Rejection &why);
    void close();

    bool is_open() const { return is_open_; }
    std::string_view name() const { return name_; }
    std::uint64_t session() const { return session_; }

    // Whether the ring has such a slot and the slot holds so many bytes; otherwise why: `shm`.
    bool check(std::uint64_t slot, std::uint64_t bytes, Rejection &why) const;

    // The number under which a slot was written last, odd while it is being written. Ask before and after reading: what
    // was read counts only if it is the expected one both times. Says false and why (`shm`) if the ring was cut off.
    bool sequence_of(std::uint64_t slot, std::uint64_t &number, Rejection &why) const;

    // Copies bytes of a slot's pixels, beginning at an offset. Says false and why (`shm`) if the ring was cut off.
    bool read(std::uint64_t slot, std::uint64_t offset, std::uint8_t *out, std::size_t bytes, Rejection &why) const;

private:
    bool copy(std::uint64_t offset, void *out, std::size_t bytes, Rejection &why) const;

    std::string name_;
    std::uint64_t session_ = 0;
    bool is_open_ = false;
#if defined(__linux__)
    int file_ = -1;
#else
    const std::uint8_t *base_ = nullptr;
#endif
    std::uint64_t bytes_ = 0; // when it was opened
    std::uint32_t slots_ = 0;
    std::uint64_t capacity_ = 0;
    std::uint64_t stride_ = 0;
};

} // namespace bunraku
