#include "held_bytes.h"

#include <zmq.h>

#include <algorithm>

#ifdef __linux__
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#endif

namespace bunraku {
namespace {

constexpr long CHECK_MS = 10;
constexpr long IDLE_MS = 250;
constexpr std::uint64_t MANY_PARTS_BYTES = 256 * 1024;
constexpr std::uint64_t MAY_GROW_BYTES = 32 * 1024 * 1024; // a game loads other things at the same time

#ifdef __linux__

// Bytes that libzmq has read from a connection; nothing if it is gone or is not TCP.
std::optional<std::uint64_t> read_bytes(int descriptor) {
    // struct tcp_info of linux/tcp.h, which does not go with netinet/tcp.h; the offset is part of the kernel's ABI.
    constexpr int TCP_INFO_OPTION = 11;
    constexpr std::size_t BYTES_RECEIVED_AT = 128;
    unsigned char info[BYTES_RECEIVED_AT + sizeof(std::uint64_t)] = {};
    socklen_t size = sizeof info;
    int unread = 0;
    if (getsockopt(descriptor, IPPROTO_TCP, TCP_INFO_OPTION, info, &size) != 0 || size < sizeof info ||
        ioctl(descriptor, FIONREAD, &unread) != 0) {
        return {};
    }
    std::uint64_t arrived;
    std::memcpy(&arrived, info + BYTES_RECEIVED_AT, sizeof arrived);
    return arrived - std::min<std::uint64_t>(arrived, static_cast<std::uint64_t>(unread));
}

std::uint64_t resident_bytes() {
    unsigned long long pages = 0;
    if (std::FILE *const file = std::fopen("/proc/self/statm", "r")) {
        if (std::fscanf(file, "%*u %llu", &pages) != 1) {
            pages = 0;
        }
        std::fclose(file);
    }
    return pages * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

#else

std::optional<std::uint64_t> read_bytes(int) { return {}; }
std::uint64_t resident_bytes() { return 0; }

#endif

} // namespace

void HeldBytes::note(int event, int value) {
    if (event == ZMQ_EVENT_CONNECTED) {
        descriptor_ = value;
        taken_ = credit_ = largest_ = resident_ = 0;
    } else if (event == ZMQ_EVENT_DISCONNECTED) {
        disconnected();
    }
}

void HeldBytes::heard(std::size_t bytes, bool payload) {
    credit_ += bytes + forgiven_;
    resident_ = 0;
    largest_ = std::max<std::uint64_t>(largest_, payload ? bytes : 0);
}

std::string HeldBytes::flood() {
    const std::optional<std::uint64_t> read = descriptor_ ? read_bytes(*descriptor_) : std::nullopt;
    if (!read) {
        return {};
    }
    taken_ = std::min(*read, taken_ + credit_);
    credit_ = 0;
    const std::uint64_t held = *read - taken_;
    const std::uint64_t limit = largest_ == 0 ? first_ : spare_ + 4 * largest_;
    if (held > limit) {
        return "a message of more than " + std::to_string(limit) + " bytes that does not end";
    }
    if (held > MANY_PARTS_BYTES) {
        // An empty part of two bytes takes 64 here.
        const std::uint64_t resident = resident_bytes();
        resident_ = resident_ == 0 ? resident : resident_;
        if (resident > resident_ + held + MAY_GROW_BYTES) {
            return "a message of very many parts that does not end";
        }
    }
    return {};
}

long HeldBytes::patience_ms() const { return descriptor_ ? CHECK_MS : IDLE_MS; }

} // namespace bunraku
