// What libzmq holds back of a message that has not ended, which no limit of its own counts. Twin of ProducerWatch in
// engine_bridge/sockets/guard.py. Knows a descriptor and bytes; the system counts what has arrived, on Linux and for
// TCP. Elsewhere nothing is limited here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace bunraku {

constexpr std::uint64_t SPARE_BYTES = 8 * 1024 * 1024; // on the frame channel, beside frames
constexpr std::uint64_t HELD_BYTES = 640 * 1024; // on the control channel: a queue of the longest messages and more
constexpr std::uint64_t FORGIVEN_BYTES = 128;

class HeldBytes {
public:
    // first: bytes that may be held back before the first message with a payload, whose size nobody knows.
    // spare: the same afterwards, beside four messages as large as the largest.
    // forgiven: with every message, for those that are dropped because nobody subscribes to them any more.
    HeldBytes(std::uint64_t first, std::uint64_t spare, std::uint64_t forgiven)
        : first_(first), spare_(spare), forgiven_(forgiven) {}

    // Takes an event of the socket's monitor and its value.
    void note(int event, int value);
    void disconnected() { descriptor_.reset(); }

    // A whole message was taken. payload: it is of the kind that the limit depends on.
    void heard(std::size_t bytes, bool payload);

    // Why the connection should be closed, empty if it is as it should be.
    std::string flood();

    // How long to wait at most before asking again.
    long patience_ms() const;

private:
    const std::uint64_t first_, spare_, forgiven_;
    std::optional<int> descriptor_;
    std::uint64_t taken_ = 0;    // of what has arrived: in messages that were taken
    std::uint64_t credit_ = 0;   // taken since the last look
    std::uint64_t largest_ = 0;  // message with a payload
    std::uint64_t resident_ = 0; // of this process when a message began to be held back, 0 while none is
};

} // namespace bunraku
