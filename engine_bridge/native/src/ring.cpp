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
constexpr std::size_t HEAD_BYTES = 40;

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

#if !defined(_WIN32)
// A descriptor of the segment and its size, if it is a segment of this user; otherwise -1 and why.
int open_own(const std::string &name, std::uint64_t &bytes, Rejection &why) {
    // Whoever named the segment may have put a pipe there; opening one would wait for its other end.
    const int file = shm_open(name.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
    if (file < 0) {
        why.because("shm", "%s cannot be opened: %s", name.c_str(), std::strerror(errno));
        return -1;
    }
    struct stat status{};
    const bool known = fstat(file, &status) == 0;
    bytes = static_cast<std::uint64_t>(status.st_size);
    if (!known || status.st_uid != geteuid()) {
        why.because("shm", "%s belongs to another user", name.c_str());
    } else if (status.st_size <= 0) {
        why.because("shm", "%s is empty", name.c_str());
#if defined(__linux__)
    } else if (!S_ISREG(status.st_mode)) {
        why.because("shm", "%s is not a segment of shared memory", name.c_str());
#endif
    } else {
        return file;
    }
    ::close(file);
    return -1;
}
#endif

#if !defined(__linux__)
struct Mapping {
    const std::uint8_t *base = nullptr;
    std::uint64_t bytes = 0;
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

void unmap(const std::uint8_t *base, std::uint64_t) { UnmapViewOfFile(base); }
#else
bool map(const std::string &name, Mapping &mapping, Rejection &why) {
    std::uint64_t bytes = 0;
    const int file = open_own(name, bytes, why);
    if (file < 0) {
        return false;
    }
    void *const base = mmap(nullptr, static_cast<std::size_t>(bytes), PROT_READ, MAP_SHARED, file, 0);
    ::close(file);
    if (base == MAP_FAILED) {
        return why.because("shm", "%s of %llu bytes cannot be mapped", name.c_str(),
                           static_cast<unsigned long long>(bytes));
    }
    mapping = {static_cast<const std::uint8_t *>(base), bytes};
    return true;
}

void unmap(const std::uint8_t *base, std::uint64_t bytes) {
    munmap(const_cast<std::uint8_t *>(base), static_cast<std::size_t>(bytes));
}
#endif
#endif

} // namespace

bool Ring::open(std::string_view name, std::uint64_t session, Rejection &why) {
    close();
    if (!is_ring_name(name)) {
        return why.because("shm", "'%.*s' cannot name a ring",
                           static_cast<int>(std::min<std::size_t>(name.size(), 32)), name.data());
    }
    name_ = name;
#if defined(__linux__)
    file_ = open_own(name_, bytes_, why);
    if (file_ < 0) {
        return false;
    }
#else
    Mapping mapping;
    if (!map(name_, mapping, why)) {
        return false;
    }
    base_ = mapping.base;
    bytes_ = mapping.bytes;
#endif
    is_open_ = true;
    const auto reject = [&](const char *what) {
        close();
        return why.because("shm", "%s: %s", name_.c_str(), what);
    };
    std::uint8_t head[HEAD_BYTES];
    if (bytes_ < PIXELS_AT || !copy(0, head, sizeof head, why) || std::memcmp(head, MAGIC, 8) != 0) {
        return reject("not a ring of frames");
    }
    if (read_number<std::uint32_t>(head + 8) != VERSION) {
        return reject("a ring of another version");
    }
    slots_ = read_number<std::uint32_t>(head + 12);
    capacity_ = read_number<std::uint64_t>(head + 16);
    stride_ = read_number<std::uint64_t>(head + 24);
    session_ = read_number<std::uint64_t>(head + 32);
    if (slots_ < MIN_SLOTS || slots_ > MAX_SLOTS || stride_ > MAX_STRIDE || stride_ % PAGE != 0 ||
        capacity_ > stride_ || PIXELS_AT + stride_ * slots_ > bytes_) {
        return reject("slots that do not fit into its memory");
    }
    if (session_ != session) {
        return reject("a ring of another session");
    }
    return true;
}

void Ring::close() {
    if (!is_open_) {
        return;
    }
    is_open_ = false;
#if defined(__linux__)
    ::close(file_);
    file_ = -1;
#else
    unmap(base_, bytes_);
    base_ = nullptr;
#endif
}

bool Ring::check(std::uint64_t slot, std::uint64_t bytes, Rejection &why) const {
    if (slot < slots_ && bytes <= capacity_) {
        return true;
    }
    return why.because("shm", "slot %llu of %u with %llu of %llu bytes", static_cast<unsigned long long>(slot), slots_,
                       static_cast<unsigned long long>(bytes), static_cast<unsigned long long>(capacity_));
}

bool Ring::sequence_of(std::uint64_t slot, std::uint64_t &number, Rejection &why) const {
    // For the second look: this fence stands between what was read and what follows. Whether this program or the kernel
    // did the copying, it was this thread's processor, and a fence orders all that it loads.
    std::atomic_thread_fence(std::memory_order_acquire);
    const std::uint64_t offset = SEQUENCES_AT + SEQUENCE_STEP * slot;
#if defined(__linux__)
    // For the first look: the kernel takes a reference to the page with a full barrier before it copies, so that what
    // the next call reads comes after this. It copies eight aligned bytes whole.
    return copy(offset, &number, sizeof number, why);
#else
    // The producer is another process, in another language; all that both know is the address.
    static_assert(std::atomic<std::uint64_t>::is_always_lock_free);
    number = reinterpret_cast<const std::atomic<std::uint64_t> *>(base_ + offset)->load(std::memory_order_acquire);
    static_cast<void>(why);
    return true;
#endif
}

bool Ring::read(std::uint64_t slot, std::uint64_t offset, std::uint8_t *out, std::size_t bytes, Rejection &why) const {
    return copy(PIXELS_AT + stride_ * slot + offset, out, bytes, why);
}

// A mapping of a ring that its producer shortens ends a program with SIGBUS when it is read. Linux reads shared memory as
// a file, which is then merely short. macOS can do neither: a segment is sized once, and not a file to read. On Windows a
// section cannot shrink while it is mapped.
bool Ring::copy(std::uint64_t offset, void *out, std::size_t bytes, Rejection &why) const {
#if defined(__linux__)
    auto *at = static_cast<std::uint8_t *>(out);
    while (bytes > 0) {
        const ssize_t count = pread(file_, at, bytes, static_cast<off_t>(offset));
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count <= 0) {
            return why.because("shm", "%s was cut off after it was opened", name_.c_str());
        }
        at += count;
        offset += static_cast<std::uint64_t>(count);
        bytes -= static_cast<std::size_t>(count);
    }
#else
    static_cast<void>(why);
    std::memcpy(out, base_ + offset, bytes);
#endif
    return true;
}

} // namespace bunraku
