#include "planes.h"

#include <algorithm>
#include <climits>

#include "bunraku/client.h"
#include "checksum.h"

#if defined(BUNRAKU_WITH_LZ4)
#include <lz4.h>
#endif
#if defined(BUNRAKU_WITH_JPEG)
#include <turbojpeg.h>
#endif

namespace bunraku {
namespace {

constexpr std::size_t PIECE_BYTES = 64 * 1024;

static_assert(MAX_FRAME_BYTES < INT_MAX, "decoders count in int");

#if defined(BUNRAKU_WITH_LZ4)
bool decode_lz4(Bytes part, std::uint64_t decoded_bytes, std::uint8_t *out, Rejection &why) {
    const int written = LZ4_decompress_safe(reinterpret_cast<const char *>(part.data), reinterpret_cast<char *>(out),
                                            static_cast<int>(part.size), static_cast<int>(decoded_bytes));
    if (written < 0 || static_cast<std::uint64_t>(written) != decoded_bytes) {
        return why.because("decode", "an LZ4 block that does not give %llu bytes",
                           static_cast<unsigned long long>(decoded_bytes));
    }
    return true;
}
#endif

#if defined(BUNRAKU_WITH_JPEG)
// Destroys itself; one per thread, since making one costs a malloc.
class JpegDecoder {
public:
    ~JpegDecoder() {
        if (handle_ != nullptr) {
            tjDestroy(handle_);
        }
    }
    bool decode(Bytes part, std::uint32_t width, std::uint32_t height, std::uint8_t *out, Rejection &why) {
        if (handle_ == nullptr) {
            handle_ = tjInitDecompress();
        }
        if (handle_ == nullptr) {
            return why.because("decode", "no memory for a JPEG decoder");
        }
        int real_width = 0;
        int real_height = 0;
        int subsampling = 0;
        int colour_space = 0;
        const auto size = static_cast<unsigned long>(part.size);
        if (tjDecompressHeader3(handle_, part.data, size, &real_width, &real_height, &subsampling, &colour_space) !=
            0) {
            return why.because("decode", "a broken JPEG: %s", tjGetErrorStr2(handle_));
        }
        if (real_width != static_cast<int>(width) || real_height != static_cast<int>(height) ||
            colour_space != TJCS_YCbCr) {
            return why.because("decode", "a JPEG of %dx%d where %ux%u in YCbCr was announced", real_width, real_height,
                               width, height);
        }
        // A truncated picture is a warning to libjpeg; a progressive one may ask for endless work in few bytes.
        constexpr int FLAGS = TJFLAG_STOPONWARNING | TJFLAG_LIMITSCANS;
        if (tjDecompress2(handle_, part.data, size, out, real_width, 3 * real_width, real_height, TJPF_RGB, FLAGS) !=
            0) {
            return why.because("decode", "a broken JPEG: %s", tjGetErrorStr2(handle_));
        }
        return true;
    }

private:
    tjhandle handle_ = nullptr;
};

bool decode_jpeg(Bytes part, std::uint32_t width, std::uint32_t height, std::uint8_t *out, Rejection &why) {
    thread_local JpegDecoder decoder;
    return decoder.decode(part, width, height, out, why);
}
#endif

Picture picture_of(const Header &header, const std::uint8_t *rows, const std::uint8_t *alpha) {
    return {rows, header.stride, alpha, header.width, header.height, header.layout};
}

bool wrong_checksum(const Header &header, Rejection &why) {
    return why.because("crc", "frame %llu: the pixels do not match their checksum",
                       static_cast<unsigned long long>(header.id));
}

bool check_checksum(const Header &header, const std::uint8_t *plane, Rejection &why) {
    if (!header.has_checksum || header.planes[0].encoding == BUNRAKU_JPEG) {
        return true;
    }
    return crc32(plane, static_cast<std::size_t>(header.planes[0].decoded_bytes)) == header.checksum ||
           wrong_checksum(header, why);
}

} // namespace

bool PlaneDecoder::is_wanted_as_it_is(const Header &header, const WantedLayout &wanted) {
    return header.plane_count == 1 && header.planes[0].encoding == BUNRAKU_RAW &&
           is_wanted(picture_of(header, nullptr, nullptr), wanted);
}

Decoded PlaneDecoder::check_as_it_is(const Header &header, Bytes payload, Rejection &why) {
    return check_checksum(header, payload.data, why) ? Decoded::good : Decoded::rejected;
}

Decoded PlaneDecoder::decode(const Header &header, const Bytes *payload, const WantedLayout &wanted, std::uint8_t *out,
                             Rejection &why) {
    if (header.planes[0].encoding == BUNRAKU_SHM) {
        return decode_from_ring(header, wanted, out, why);
    }
    Bytes decoded[2];
    for (std::size_t i = 0; i < header.plane_count; ++i) {
        if (!decode_plane(header, i, payload[i], decoded[i], why)) {
            return Decoded::rejected;
        }
    }
    if (!check_checksum(header, decoded[0].data, why)) {
        return Decoded::rejected;
    }
    convert(picture_of(header, decoded[0].data, decoded[1].data), wanted, out);
    return Decoded::good;
}

Decoded PlaneDecoder::decode_from_ring(const Header &header, const WantedLayout &wanted, std::uint8_t *out,
                                       Rejection &why) {
    const Plane &plane = header.planes[0];
    const bool is_open = ring_.is_open() && ring_.name() == plane.ring && ring_.session() == header.session;
    if ((!is_open && !ring_.open(plane.ring, header.session, why)) ||
        !ring_.check(plane.slot, plane.decoded_bytes, why)) {
        return Decoded::rejected;
    }
    std::uint64_t before = 0;
    std::uint64_t after = 0;
    std::uint32_t checksum = 0;
    if (!ring_.sequence_of(plane.slot, before, why)) {
        return Decoded::rejected;
    }
    if (before != plane.sequence || before % 2 != 0) {
        return Decoded::overtaken;
    }
    if (!copy_from_ring(header, wanted, out, checksum, why) || !ring_.sequence_of(plane.slot, after, why)) {
        return Decoded::rejected;
    }
    if (after != before) {
        return Decoded::overtaken;
    }
    const bool matches = !header.has_checksum || checksum == header.checksum || wrong_checksum(header, why);
    return matches ? Decoded::good : Decoded::rejected;
}

// Reads straight into `out` where no conversion is needed, otherwise rows at a time, which stay in the cache until they
// are converted.
bool PlaneDecoder::copy_from_ring(const Header &header, const WantedLayout &wanted, std::uint8_t *out,
                                  std::uint32_t &checksum, Rejection &why) {
    const Plane &plane = header.planes[0];
    const bool as_it_is = is_wanted(picture_of(header, nullptr, nullptr), wanted);
    const std::size_t stride = header.stride;
    const auto rows_at_once = static_cast<std::uint32_t>(
        as_it_is ? header.height : std::clamp<std::size_t>(PIECE_BYTES / stride, 1, header.height));
    if (!as_it_is && !decoded_[0].reserve(rows_at_once * stride)) {
        return why.because("decode", "no memory for %zu bytes", rows_at_once * stride);
    }
    const bool flips = header.layout.bottom_up != wanted.bottom_up;
    for (std::uint32_t row = 0; row < header.height; row += rows_at_once) {
        const std::uint32_t rows = std::min(rows_at_once, header.height - row);
        std::uint8_t *const piece = as_it_is ? out : decoded_[0].data();
        if (!ring_.read(plane.slot, row * stride, piece, rows * stride, why)) {
            return false;
        }
        if (header.has_checksum) {
            checksum = crc32(piece, rows * stride, checksum);
        }
        if (!as_it_is) {
            const std::uint32_t to = flips ? header.height - row - rows : row;
            convert({piece, stride, nullptr, header.width, rows, header.layout}, wanted,
                    out + std::size_t{4} * header.width * to);
        }
    }
    return true;
}

bool PlaneDecoder::decode_plane(const Header &header, std::size_t index, [[maybe_unused]] Bytes part, Bytes &decoded,
                                Rejection &why) {
    const Plane &plane = header.planes[index];
    if (plane.encoding == BUNRAKU_RAW) {
        decoded = part;
        return true;
    }
    if (!decoded_[index].reserve(static_cast<std::size_t>(plane.decoded_bytes))) {
        return why.because("decode", "no memory for %llu bytes", static_cast<unsigned long long>(plane.decoded_bytes));
    }
    std::uint8_t *const out = decoded_[index].data();
    decoded = {out, static_cast<std::size_t>(plane.decoded_bytes)};
    switch (plane.encoding) {
#if defined(BUNRAKU_WITH_LZ4)
    case BUNRAKU_LZ4: return decode_lz4(part, plane.decoded_bytes, out, why);
#endif
#if defined(BUNRAKU_WITH_JPEG)
    case BUNRAKU_JPEG: return decode_jpeg(part, header.width, header.height, out, why);
#endif
    default: return why.because("encoding", "an encoding that this library was built without");
    }
}

} // namespace bunraku
