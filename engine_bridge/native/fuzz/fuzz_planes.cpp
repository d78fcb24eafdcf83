// Any bytes as the planes of a picture. Input: six bytes that say which picture (encoding, format, modes, width,
// height, how much belongs to the first plane), then the planes.
#include <algorithm>
#include <vector>

#include "build.h"
#include "planes.h"

using namespace bunraku;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    constexpr std::size_t HEAD = 6;
    constexpr std::uint32_t ENCODINGS[] = {BUNRAKU_RAW, BUNRAKU_LZ4, BUNRAKU_JPEG, BUNRAKU_SHM};
    if (size < HEAD) {
        return 0;
    }
    Header header;
    header.width = 1u + data[3];
    header.height = 1u + data[4];
    header.layout.format = static_cast<PixelFormat>(data[1] & 3);
    header.layout.alpha = static_cast<AlphaMode>((data[1] >> 2) % 3);
    header.layout.linear = (data[1] & 0x10) != 0;
    header.layout.bottom_up = (data[1] & 0x20) != 0;
    header.has_checksum = (data[1] & 0x40) != 0;
    const WantedLayout wanted{(data[2] & 1) != 0, (data[2] & 2) != 0, (data[2] & 4) != 0};
    const bool two_planes = (data[2] & 8) != 0;
    header.plane_count = two_planes ? 2 : 1;
    if (two_planes) {
        header.layout.format = PixelFormat::rgba8;
    }
    const std::uint32_t encodings[] = {ENCODINGS[data[0] & 3], (data[0] & 4) != 0 ? BUNRAKU_LZ4 : BUNRAKU_RAW};
    if (encodings[0] == BUNRAKU_JPEG && !two_planes) {
        header.layout.format = PixelFormat::rgb8; // read_header() lets no other through
    }
    const std::size_t pixel_bytes = two_planes ? 3 : bytes_per_pixel(header.layout.format);
    header.stride = pixel_bytes * header.width + (two_planes || encodings[0] == BUNRAKU_JPEG ? 0 : data[2] >> 6);

    const std::size_t left = size - HEAD;
    const std::size_t first = two_planes ? left * data[5] / 255 : left;
    std::vector<std::uint8_t> parts[] = {{data + HEAD, data + HEAD + first}, {data + HEAD + first, data + size}};
    Bytes payload[2];
    for (std::size_t i = 0; i < header.plane_count; ++i) {
        Plane &plane = header.planes[i];
        plane.encoding = encodings[i];
        plane.decoded_bytes = i == 0 ? header.stride * header.height : std::size_t{header.width} * header.height;
        plane.ring = "/bunraku-fuzz-nobody-made-this";
        plane.slot = data[5];
        if (plane.encoding == BUNRAKU_RAW) {
            parts[i].resize(static_cast<std::size_t>(plane.decoded_bytes)); // read_header() has compared the lengths
        }
        payload[i] = {parts[i].data(), parts[i].size()};
    }
    static PlaneDecoder decoder;
    std::vector<std::uint8_t> out(std::size_t{4} * header.width * header.height);
    Rejection why;
    if (PlaneDecoder::is_wanted_as_it_is(header, wanted)) {
        PlaneDecoder::check_as_it_is(header, payload[0], why);
    }
    decoder.decode(header, payload, wanted, out.data(), why);
    return 0;
}
