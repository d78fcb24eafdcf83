#include "ring.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>

#if defined(_WIN32)
#include <windows.h>
#else
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

namespace bunraku {
namespace {

constexpr char MAGIC[] = "BNRKRNG1";
constexpr std::uint32_t VERSION = 1;
constexpr std::uint32_t MIN_SLOTS = 4;
constexpr std::uint32_t MAX_SLOTS = 60;
constexpr std::size_t SEQUENCES_AT = 128;
constexpr std::size_t SEQUENCE_STEP = 64;
constexpr std::size_t PIXELS_AT = 4096;
constexpr std::size_t PAGE = 4096;
constexpr std::uint64_t MAX_STRIDE = std::uint64_t{64} * 1024 * 1024 + PAGE;
constexpr std::size_t MAX_NAME_BYTES = 31;

#if defined(_WIN32)
constexpr std::string_view NAME_BEGINS = "Local\\bunraku-";
#else
constexpr std::string_view NAME_BEGINS = "/bunraku-";
#endif

bool is_ring_name(std::string_view name) {
    const auto plain = [](char byte) {
        return (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') ||
               byte == '-' || byte == '_';
    };
    return name.size() > NAME_BEGINS.size() && name.size() <= MAX_NAME_BYTES &&
           name.substr(0, NAME_BEGINS.size()) == NAME_BEGINS &&
           std::all_of(name.begin() + static_cast<std::ptrdiff_t>(NAME_BEGINS.size()), name.end(), plain);
}

template <typename Number> Number read_number(const std::uint8_t *at) {
    Number number;
    std::memcpy(&number, at, sizeof number);
    return number;
}

struct Mapping {
    const std::uint8_t *base = nullptr;
    std::size_t bytes = 0;
};

#if defined(_WIN32)
bool map(const std::string &name, Mapping &mapping, Rejection &why) {
    const HANDLE handle = OpenFileMappingA(FILE_MAP_READ, FALSE, name.c_str());
    if (handle == nullptr) {
        return why.because("shm", "%s cannot be opened: error %lu", name.c_str(), GetLastError());
    }
    void *const base = MapViewOfFile(handle, FILE_MAP_READ, 0, 0, 0);
    CloseHandle(handle); // the view keeps the memory
    if (base == nullptr) {
        return why.because("shm", "%s cannot be mapped: error %lu", name.c_str(), GetLastError());
    }
    MEMORY_BASIC_INFORMATION information{};
    VirtualQuery(base, &information, sizeof information);
    mapping = {static_cast<const std::uint8_t *>(base), information.RegionSize};
    return true;
}

void unmap(const std::uint8_t *base, std::size_t) { UnmapViewOfFile(base); }
#else
bool map(const std::string &name, Mapping &mapping, Rejection &why) {
    const int file = shm_open(name.c_str(), O_RDONLY | O_CLOEXEC, 0);
    if (file < 0) {
        return why.because("shm", "%s cannot be opened: %s", name.c_str(), std::strerror(errno));
    }
    struct stat status{};
    void *base = MAP_FAILED;
    bool own = false;
    std::size_t bytes = 0;
    if (fstat(file, &status) == 0) {
        own = status.st_uid == geteuid();
        bytes = static_cast<std::size_t>(status.st_size);
        if (own && bytes > 0) {
            base = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, file, 0);
        }
    }
    ::close(file);
    if (!own) {
        return why.because("shm", "%s belongs to another user", name.c_str());
    }
    if (base == MAP_FAILED) {
        return why.because("shm", "%s of %zu bytes cannot be mapped", name.c_str(), bytes);
    }
    mapping = {static_cast<const std::uint8_t *>(base), bytes};
    return true;
}

void unmap(const std::uint8_t *base, std::size_t bytes) { munmap(const_cast<std::uint8_t *>(base), bytes); }
#endif

} // namespace

bool Ring::open(std::string_view name, std::uint64_t session, Rejection &why) {
    close();
    if (!is_ring_name(name)) {
        return why.because("shm", "'%.*s' is no name of a ring",
                           static_cast<int>(std::min<std::size_t>(name.size(), 32)), name.data());
    }
    name_ = name;
    Mapping mapping;
    if (!map(name_, mapping, why)) {
        return false;
    }
    base_ = mapping.base;
    mapped_bytes_ = mapping.bytes;
    const auto reject = [&](const char *what) {
        close();
        return why.because("shm", "%s: %s", name_.c_str(), what);
    };
    if (mapped_bytes_ < PIXELS_AT || std::memcmp(base_, MAGIC, 8) != 0) {
        return reject("no ring of frames");
    }
    if (read_number<std::uint32_t>(base_ + 8) != VERSION) {
        return reject("a ring of another version");
    }
    slots_ = read_number<std::uint32_t>(base_ + 12);
    capacity_ = read_number<std::uint64_t>(base_ + 16);
    stride_ = read_number<std::uint64_t>(base_ + 24);
    session_ = read_number<std::uint64_t>(base_ + 32);
    if (slots_ < MIN_SLOTS || slots_ > MAX_SLOTS || stride_ > MAX_STRIDE || stride_ % PAGE != 0 ||
        capacity_ > stride_ || PIXELS_AT + stride_ * slots_ > mapped_bytes_) {
        return reject("slots that do not fit into its memory");
    }
    if (session_ != session) {
        return reject("a ring of another session");
    }
    return true;
}

void Ring::close() {
    if (base_ != nullptr) {
        unmap(base_, mapped_bytes_);
        base_ = nullptr;
    }
}

bool Ring::check(std::uint64_t slot, std::uint64_t bytes, Rejection &why) const {
    if (slot < slots_ && bytes <= capacity_) {
        return true;
    }
    return why.because("shm", "slot %llu of %u with %llu of %llu bytes", static_cast<unsigned long long>(slot), slots_,
                       static_cast<unsigned long long>(bytes), static_cast<unsigned long long>(capacity_));
}

const std::uint8_t *Ring::pixels(std::uint64_t slot, std::uint64_t sequence) const {
    return sequence % 2 == 0 && sequence_of(slot) == sequence ? base_ + PIXELS_AT + slot * stride_ : nullptr;
}

bool Ring::is_still(std::uint64_t slot, std::uint64_t sequence) const {
    std::atomic_thread_fence(std::memory_order_acquire);
    return sequence_of(slot) == sequence;
}

std::uint64_t Ring::sequence_of(std::uint64_t slot) const {
    // The producer is another process, in another language; all that both know is the address.
    static_assert(std::atomic<std::uint64_t>::is_always_lock_free);
    const auto *const sequence =
        reinterpret_cast<const std::atomic<std::uint64_t> *>(base_ + SEQUENCES_AT + SEQUENCE_STEP * slot);
    return sequence->load(std::memory_order_acquire);
}

} // namespace bunraku
