// A ring of shared memory as a producer makes it, with every number open to be bent.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#if defined(_WIN32)
#include <windows.h>
#else
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#endif

class SharedRing {
public:
    SharedRing(std::uint64_t session, std::uint32_t slots, std::uint64_t capacity, std::size_t missing_bytes = 0)
        : stride_((capacity + 4095) / 4096 * 4096) {
        static int made = 0;
        const std::size_t bytes = 4096 + slots * stride_ - missing_bytes;
#if defined(_WIN32)
        name = "Local\\bunraku-test" + std::to_string(GetCurrentProcessId()) + "-" + std::to_string(made++);
        handle_ = CreateFileMappingA(INVALID_HANDLE_VALUE, nullptr, PAGE_READWRITE, 0, static_cast<DWORD>(bytes),
                                     name.c_str());
        base = static_cast<std::uint8_t *>(MapViewOfFile(handle_, FILE_MAP_WRITE, 0, 0, bytes));
#else
        name = "/bunraku-test" + std::to_string(getpid()) + "-" + std::to_string(made++);
        const int file = shm_open(name.c_str(), O_CREAT | O_EXCL | O_RDWR, 0600);
        if (ftruncate(file, static_cast<off_t>(bytes)) == 0) {
            base = static_cast<std::uint8_t *>(mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0));
        }
        close(file);
        bytes_ = bytes;
#endif
        std::memcpy(base, "BNRKRNG1", 8);
        put<std::uint32_t>(8, 1);
        put<std::uint32_t>(12, slots);
        put<std::uint64_t>(16, capacity);
        put<std::uint64_t>(24, stride_);
        put<std::uint64_t>(32, session);
    }
    ~SharedRing() {
#if defined(_WIN32)
        UnmapViewOfFile(base);
        CloseHandle(handle_);
#else
        munmap(base, bytes_);
        shm_unlink(name.c_str());
#endif
    }
    SharedRing(const SharedRing &) = delete;
    SharedRing &operator=(const SharedRing &) = delete;

    template <typename Number> void put(std::size_t offset, Number number) {
        std::memcpy(base + offset, &number, sizeof number);
    }

    // Writes a picture; returns the number under which it can be read.
    std::uint64_t write(std::size_t slot, const std::vector<std::uint8_t> &pixels) {
        auto *const sequence = reinterpret_cast<std::atomic<std::uint64_t> *>(base + 128 + 64 * slot);
        const std::uint64_t number = sequence->load() + 1;
        sequence->store(number);
        std::atomic_thread_fence(std::memory_order_seq_cst);
        std::memcpy(base + 4096 + slot * stride_, pixels.data(), pixels.size());
        std::atomic_thread_fence(std::memory_order_seq_cst);
        sequence->store(number + 1);
        return number + 1;
    }

#if defined(__linux__)
    // Leaves so many bytes of it; this end must not touch the rest afterwards.
    void cut(std::size_t bytes) const { static_cast<void>(truncate(("/dev/shm" + name).c_str(), static_cast<off_t>(bytes))); }
#endif

    std::string name;
    std::uint8_t *base = nullptr;

private:
    std::uint64_t stride_;
#if defined(_WIN32)
    HANDLE handle_ = nullptr;
#else
    std::size_t bytes_ = 0;
#endif
};
