// How old frames are when a consumer with a tick of its own takes them through the native client. Prints one line of
// JSON.
//
//     native_age ENDPOINT CONSUMER_HZ SECONDS [raw|lz4|jpeg|shm]
//
// Built by CMake with BUNRAKU_BENCHMARKS (docs/native.md).
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "bunraku/client.hpp"

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds PATIENCE{10};

// The bit of an encoding's name, 0 for "as usual", -1 if there is none.
int encoding_of(const char *name) {
    constexpr struct {
        const char *name;
        int encoding;
    } NAMES[] = {{"raw", BUNRAKU_RAW}, {"lz4", BUNRAKU_LZ4}, {"jpeg", BUNRAKU_JPEG}, {"shm", BUNRAKU_SHM}};
    for (const auto &known : NAMES) {
        if (std::strcmp(known.name, name) == 0) {
            return known.encoding;
        }
    }
    return -1;
}

const char *name_of(std::uint32_t encoding) {
    switch (encoding) {
    case BUNRAKU_RAW: return "raw";
    case BUNRAKU_LZ4: return "lz4";
    case BUNRAKU_JPEG: return "jpeg";
    default: return "shm";
    }
}

double or_zero(double value) { return std::isfinite(value) ? value : 0.0; }

} // namespace

int main(int count, char **arguments) {
    const double hertz = count > 2 ? std::atof(arguments[2]) : 0.0;
    const double seconds = count > 3 ? std::atof(arguments[3]) : 0.0;
    const int encoding = count > 4 ? encoding_of(arguments[4]) : 0;
    if (hertz <= 0.0 || seconds <= 0.0 || encoding < 0) {
        std::fprintf(stderr, "usage: native_age ENDPOINT CONSUMER_HZ SECONDS [raw|lz4|jpeg|shm]\n");
        return 2;
    }
    bunraku_options options = bunraku::Client::options();
    options.endpoint = arguments[1];
    options.encodings = static_cast<std::uint32_t>(encoding);
    options.client_name = "native_age";
    bunraku::Client client;
    if (!client.open(options)) {
        std::fprintf(stderr, "%s\n", client.why());
        return 1;
    }
    const Clock::time_point opened = Clock::now();
    while (!client.acquire() && Clock::now() - opened < PATIENCE) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    const auto tick = std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(1.0 / hertz));
    const Clock::time_point began = Clock::now();
    const bunraku_status before = client.status();
    for (Clock::time_point next = began; std::chrono::duration<double>(next - began).count() < seconds; next += tick) {
        std::this_thread::sleep_until(next);
        client.acquire();
    }
    const double took_s = std::chrono::duration<double>(Clock::now() - began).count();
    const bunraku_status status = client.status();
    const auto since = [](std::uint64_t now, std::uint64_t then) {
        return static_cast<unsigned long long>(now - then);
    };
    std::printf(
        "{\"client\": \"native\", \"version\": \"%s\", \"encoding\": \"%s\", \"consumer_hz\": %g, \"seconds\": %.2f, "
        "\"age_arrival_ms_p50\": %.3f, \"age_arrival_ms_p99\": %.3f, \"age_take_ms_p50\": %.3f, "
        "\"age_take_ms_p99\": %.3f, \"received\": %llu, \"shown\": %llu, \"skipped\": %llu, \"missed\": %llu, "
        "\"bad\": %llu, \"fps\": %.2f}\n",
        bunraku_version(), name_of(status.encoding), hertz, took_s, or_zero(status.age_arrival_ms_p50),
        or_zero(status.age_arrival_ms_p99), or_zero(status.age_take_ms_p50), or_zero(status.age_take_ms_p99),
        since(status.received, before.received), since(status.shown, before.shown),
        since(status.skipped, before.skipped), since(status.missed, before.missed), since(status.bad, before.bad),
        static_cast<double>(status.received - before.received) / took_s);
    return status.shown > 0 ? 0 : 1;
}
