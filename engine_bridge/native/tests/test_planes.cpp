// From payloads to pixels: raw, LZ4, JPEG and rings of shared memory.
#include <cstdlib>

#include "build.h"
#include "check.h"
#include "checksum.h"
#include "messages.h"
#include "planes.h"
#include "shared_ring.h"

#if defined(__linux__)
#include <sys/stat.h>
#endif
#if defined(BUNRAKU_WITH_LZ4)
#include <lz4.h>
#endif
#if defined(BUNRAKU_WITH_JPEG)
#include <turbojpeg.h>
#endif

using namespace bunraku;
using messages::Frame;
using messages::Part;
using messages::raw_frame;
using messages::SentPlane;

namespace {

// The pixels, or the code of what is wrong, of a message as it came.
struct Result {
    std::string verdict;
    std::vector<std::uint8_t> pixels;
};

Result decoded(PlaneDecoder &decoder, const Frame &frame, WantedLayout wanted = {}) {
    // Parts of exact size on the heap, so that a sanitizer sees one byte too many.
    const std::vector<Part> parts = frame.parts();
    const std::vector<Bytes> views = messages::views(parts);
    Header header;
    Rejection why;
    if (!read_header(views.data(), views.size(), header, why)) {
        return {why.code, {}};
    }
    Result result;
    result.pixels.resize(std::size_t{4} * header.width * header.height);
    switch (decoder.decode(header, views.data() + MIN_PARTS, wanted, result.pixels.data(), why)) {
    case Decoded::good: result.verdict = "good"; break;
    case Decoded::overtaken: result.verdict = "overtaken"; break;
    case Decoded::rejected: result.verdict = why.code; break;
    }
    return result;
}

std::vector<std::uint8_t> noise(std::size_t size) {
    std::vector<std::uint8_t> bytes(size);
    std::uint32_t state = 1;
    for (std::uint8_t &byte : bytes) {
        state = state * 1664525 + 1013904223;
        byte = static_cast<std::uint8_t>(state >> 24);
    }
    return bytes;
}

Frame ring_frame(const SharedRing &ring, std::uint64_t slot, std::uint64_t sequence, std::uint64_t bytes) {
    Frame frame = raw_frame(1, static_cast<std::uint32_t>(bytes / 4), 1);
    frame.planes = {SentPlane{"shm", "rgba", bytes, 0, ring.name, slot, sequence}};
    frame.payload = {Part{}};
    return frame;
}

#if defined(BUNRAKU_WITH_LZ4)
Part lz4_of(const std::vector<std::uint8_t> &bytes) {
    Part packed(static_cast<std::size_t>(LZ4_compressBound(static_cast<int>(bytes.size()))));
    const int size =
        LZ4_compress_default(reinterpret_cast<const char *>(bytes.data()), reinterpret_cast<char *>(packed.data()),
                             static_cast<int>(bytes.size()), static_cast<int>(packed.size()));
    packed.resize(static_cast<std::size_t>(size));
    return packed;
}

Frame lz4_frame(const std::vector<std::uint8_t> &pixels, std::uint32_t width, std::uint32_t height) {
    Frame frame = raw_frame(1, width, height);
    frame.payload = {lz4_of(pixels)};
    frame.planes = {SentPlane{"lz4", "rgba", pixels.size(), frame.payload[0].size(), "", 0, 0}};
    return frame;
}
#endif

#if defined(BUNRAKU_WITH_JPEG)
Part jpeg_of(const std::vector<std::uint8_t> &rgb, int width, int height, bool grey = false) {
    const tjhandle encoder = tjInitCompress();
    unsigned char *data = nullptr;
    unsigned long size = 0;
    tjCompress2(encoder, rgb.data(), width, 0, height, grey ? TJPF_GRAY : TJPF_RGB, &data, &size,
                grey ? TJSAMP_GRAY : TJSAMP_444, 95, 0);
    Part packed(data, data + size);
    tjFree(data);
    tjDestroy(encoder);
    return packed;
}

Frame jpeg_frame(const Part &jpeg, std::uint32_t width, std::uint32_t height, std::uint8_t alpha) {
    Frame frame = raw_frame(1, width, height);
    const std::size_t count = std::size_t{width} * height;
    frame.payload = {jpeg, Part(count, alpha)};
    frame.planes = {SentPlane{"jpeg", "rgb", 3 * count, jpeg.size(), "", 0, 0},
                    SentPlane{"raw", "a", count, count, "", 0, 0}};
    return frame;
}
#endif

} // namespace

TEST("planes", "a checksum is compared with the decoded plane") {
    PlaneDecoder decoder;
    Frame frame = raw_frame(1, 3, 2, 5);
    frame.tells_crc = true;
    frame.crc = crc32(frame.payload[0].data(), frame.payload[0].size());
    CHECK_EQUAL(decoded(decoder, frame).verdict, "good");
    frame.crc ^= 1;
    CHECK_EQUAL(decoded(decoder, frame).verdict, "crc");
    frame.crc = std::uint64_t{1} << 40;
    CHECK_EQUAL(decoded(decoder, frame).verdict, "header");
}

TEST("planes", "a ring is read where the header points") {
    SharedRing ring(7, 4, 64);
    PlaneDecoder decoder;
    const std::vector<std::uint8_t> pixels = noise(64);
    const std::uint64_t sequence = ring.write(3, pixels);
    const Result result = decoded(decoder, ring_frame(ring, 3, sequence, 64));
    CHECK_EQUAL(result.verdict, "good");
    CHECK(result.pixels == pixels);
    const Result swapped = decoded(decoder, ring_frame(ring, 3, sequence, 64), {true, false, false});
    CHECK_EQUAL(int{swapped.pixels[0]}, int{pixels[2]});
}

TEST("planes", "a slot that was overwritten is overtaken, so is a half-written one") {
    SharedRing ring(7, 4, 64);
    PlaneDecoder decoder;
    const std::uint64_t sequence = ring.write(0, noise(64));
    ring.write(0, noise(64));
    CHECK_EQUAL(decoded(decoder, ring_frame(ring, 0, sequence, 64)).verdict, "overtaken");
    ring.put<std::uint64_t>(128, 5);
    CHECK_EQUAL(decoded(decoder, ring_frame(ring, 0, 5, 64)).verdict, "overtaken");
}

TEST("planes", "a ring that cannot be used is shm") {
    SharedRing ring(7, 4, 64);
    const std::uint64_t sequence = ring.write(0, noise(64));
    const auto verdict = [&](const Frame &frame) {
        PlaneDecoder decoder; // a fresh look at the ring
        return decoded(decoder, frame).verdict;
    };
    const Frame good = ring_frame(ring, 0, sequence, 64);
    CHECK_EQUAL(verdict(good), "good");
    CHECK_EQUAL(verdict(ring_frame(ring, 4, sequence, 64)), "shm");
    CHECK_EQUAL(verdict(ring_frame(ring, 0, sequence, 68)), "shm");
    Frame frame = good;
    frame.session = 8;
    CHECK_EQUAL(verdict(frame), "shm");
    for (const char *name : {"/no-such-ring", "/bunraku-nobody", "/bunraku-", "bunraku-x", "/bunraku-../../etc/passwd",
                             "/bunraku-0123456789012345678901"}) {
        frame = good;
        frame.planes[0].ring = name;
        CHECK_EQUAL(verdict(frame), "shm");
    }
    const auto bent = [&](std::size_t offset, auto number, auto back) {
        ring.put(offset, number);
        const std::string bad = verdict(good);
        ring.put(offset, back);
        return bad;
    };
    CHECK_EQUAL(bent(0, std::uint8_t{'X'}, std::uint8_t{'B'}), "shm");
    CHECK_EQUAL(bent(8, std::uint32_t{2}, std::uint32_t{1}), "shm");
    CHECK_EQUAL(bent(12, std::uint32_t{3}, std::uint32_t{4}), "shm");
    CHECK_EQUAL(bent(12, std::uint32_t{5}, std::uint32_t{4}), "shm"); // beyond the mapping
    CHECK_EQUAL(bent(12, std::uint32_t{61}, std::uint32_t{4}), "shm");
    CHECK_EQUAL(bent(16, std::uint64_t{4097}, std::uint64_t{64}), "shm");
    CHECK_EQUAL(bent(24, std::uint64_t{4095}, std::uint64_t{4096}), "shm");
    CHECK_EQUAL(bent(24, ~std::uint64_t{4095}, std::uint64_t{4096}), "shm");
    CHECK_EQUAL(verdict(good), "good");
#if !defined(_WIN32)
    const SharedRing cut(7, 4, 64, 1);
    CHECK_EQUAL(verdict(ring_frame(cut, 0, 0, 64)), "shm");
#endif
}

TEST("planes", "a picture that is read in pieces is converted whole, also with gaps, flipped and with a checksum") {
    constexpr std::uint32_t WIDTH = 300;
    constexpr std::uint32_t HEIGHT = 131; // of 64 KiB pieces, two whole ones and a rest
    constexpr std::size_t STRIDE = 4 * WIDTH + 24;
    SharedRing ring(7, 4, STRIDE * HEIGHT);
    PlaneDecoder decoder;
    const std::vector<std::uint8_t> rows = noise(STRIDE * HEIGHT);
    Frame frame = raw_frame(1, WIDTH, HEIGHT);
    frame.planes = {SentPlane{"shm", "rgba", rows.size(), 0, ring.name, 1, ring.write(1, rows)}};
    frame.payload = {Part{}};
    frame.stride = STRIDE;
    frame.tells_crc = true;
    frame.crc = crc32(rows.data(), rows.size());
    const Result flipped = decoded(decoder, frame, {true, false, true});
    CHECK_EQUAL(flipped.verdict, "good");
    bool all_there = true;
    for (std::size_t y = 0; y < HEIGHT; ++y) {
        for (std::size_t x = 0; x < WIDTH; ++x) {
            const std::uint8_t *const from = rows.data() + STRIDE * (HEIGHT - 1 - y) + 4 * x;
            const std::uint8_t *const to = flipped.pixels.data() + 4 * (WIDTH * y + x);
            all_there = all_there && to[0] == from[2] && to[1] == from[1] && to[2] == from[0] && to[3] == from[3];
        }
    }
    CHECK(all_there);
    frame.crc ^= 1;
    CHECK_EQUAL(decoded(decoder, frame).verdict, "crc");
}

#if defined(__linux__)
TEST("planes", "a ring that its producer cuts off is shm, and kills nobody") {
    SharedRing ring(7, 4, 32 * 1024);
    PlaneDecoder decoder;
    const std::uint64_t sequence = ring.write(3, noise(32 * 1024));
    const Frame frame = ring_frame(ring, 3, sequence, 32 * 1024);
    CHECK_EQUAL(decoded(decoder, frame).verdict, "good");
    for (const std::size_t left : {4096 + 3 * 32768 + 8, 4096, 0}) {
        ring.cut(left);
        CHECK_EQUAL(decoded(decoder, frame).verdict, "shm");
        CHECK_EQUAL(decoded(decoder, frame, {true, false, true}).verdict, "shm");
    }
}

TEST("planes", "a pipe under the name of a ring is shm, and keeps nobody waiting") {
    const std::string name = "/bunraku-pipe" + std::to_string(getpid());
    CHECK(mkfifo(("/dev/shm" + name).c_str(), 0600) == 0);
    SharedRing ring(7, 4, 64);
    Frame frame = ring_frame(ring, 0, ring.write(0, noise(64)), 64);
    frame.planes[0].ring = name;
    PlaneDecoder decoder;
    CHECK_EQUAL(decoded(decoder, frame).verdict, "shm");
    shm_unlink(name.c_str());
}
#endif

#if defined(BUNRAKU_WITH_LZ4)
TEST("planes", "LZ4 gives back what was packed") {
    PlaneDecoder decoder;
    const std::vector<std::uint8_t> pixels = noise(5 * 3 * 4);
    const Frame frame = lz4_frame(pixels, 5, 3);
    CHECK_EQUAL(decoded(decoder, frame).verdict, "good");
    CHECK(decoded(decoder, frame).pixels == pixels);
}

TEST("planes", "broken LZ4 is decode") {
    PlaneDecoder decoder;
    const Frame good = lz4_frame(std::vector<std::uint8_t>(64 * 64 * 4, 9), 64, 64);
    for (std::size_t cut = 1; cut < good.payload[0].size(); ++cut) {
        Frame frame = good;
        frame.payload[0].resize(good.payload[0].size() - cut);
        frame.planes[0].wire = frame.payload[0].size();
        CHECK_EQUAL(decoded(decoder, frame).verdict, "decode");
    }
    Frame frame = lz4_frame(std::vector<std::uint8_t>(64 * 63 * 4, 9), 64, 64);
    frame.planes[0].decoded = 64 * 64 * 4;
    CHECK_EQUAL(decoded(decoder, frame).verdict, "decode");
}
#else
TEST("planes", "LZ4 that is not built in is encoding") {
    PlaneDecoder decoder;
    Frame frame = raw_frame(1);
    frame.planes[0].encoding = "lz4";
    CHECK_EQUAL(decoded(decoder, frame).verdict, "encoding");
}
#endif

#if defined(BUNRAKU_WITH_JPEG)
TEST("planes", "JPEG colour and raw alpha are joined") {
    PlaneDecoder decoder;
    const std::vector<std::uint8_t> rgb(16 * 8 * 3, 100);
    const Result result = decoded(decoder, jpeg_frame(jpeg_of(rgb, 16, 8), 16, 8, 33));
    CHECK_EQUAL(result.verdict, "good");
    CHECK(std::abs(result.pixels[0] - 100) <= 2);
    CHECK_EQUAL(int{result.pixels[3]}, 33);
}

TEST("planes", "broken JPEG, or one of another size or kind, is decode") {
    PlaneDecoder decoder;
    const std::vector<std::uint8_t> rgb = noise(16 * 8 * 3);
    const Part good = jpeg_of(rgb, 16, 8);
    CHECK_EQUAL(decoded(decoder, jpeg_frame(good, 16, 8, 0)).verdict, "good");
    CHECK_EQUAL(decoded(decoder, jpeg_frame(jpeg_of(rgb, 8, 16), 16, 8, 0)).verdict, "decode");
    CHECK_EQUAL(decoded(decoder, jpeg_frame(jpeg_of(rgb, 16, 8, true), 16, 8, 0)).verdict, "decode");
    CHECK_EQUAL(decoded(decoder, jpeg_frame(Part{}, 16, 8, 0)).verdict, "decode");
    CHECK_EQUAL(decoded(decoder, jpeg_frame(Part(good.begin(), good.begin() + 200), 16, 8, 0)).verdict, "decode");
    CHECK_EQUAL(decoded(decoder, jpeg_frame(Part(good.begin(), good.end() - 40), 16, 8, 0)).verdict, "decode");
    CHECK_EQUAL(decoded(decoder, jpeg_frame(good, 16, 8, 0)).verdict, "good");
}
#endif
