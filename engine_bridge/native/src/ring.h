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

    // Maps the ring of that name, read-only. Says false and why (`shm`) if it cannot be used for that session.
    bool open(std::string_view name, std::uint64_t session, Rejection &why);
    void close();

    bool is_open() const { return base_ != nullptr; }
    std::string_view name() const { return name_; }
    std::uint64_t session() const { return session_; }

    // Whether the ring has such a slot and the slot holds so many bytes; otherwise why: `shm`.
    bool check(std::uint64_t slot, std::uint64_t bytes, Rejection &why) const;

    // A slot's pixels, or null if it does not hold what was written under that number. What is read from there counts
    // only if is_still() says so afterwards.
    const std::uint8_t *pixels(std::uint64_t slot, std::uint64_t sequence) const;
    bool is_still(std::uint64_t slot, std::uint64_t sequence) const;

private:
    std::uint64_t sequence_of(std::uint64_t slot) const;

    std::string name_;
    std::uint64_t session_ = 0;
    const std::uint8_t *base_ = nullptr;
    std::size_t mapped_bytes_ = 0;
    std::uint32_t slots_ = 0;
    std::uint64_t capacity_ = 0;
    std::uint64_t stride_ = 0;
};

} // namespace bunraku
