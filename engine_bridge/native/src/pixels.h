// Pixel layouts of the wire, and the ones that a client may ask for. Twin of engine_bridge/avf/pixels.py, with which it
// agrees bit for bit.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bunraku {

enum class PixelFormat : std::uint8_t { rgba8, bgra8, rgb8, a8 };
enum class AlphaMode : std::uint8_t { straight, premultiplied, opaque };

struct PixelLayout {
    PixelFormat format = PixelFormat::rgba8;
    AlphaMode alpha = AlphaMode::straight;
    bool linear = false;
    bool bottom_up = false;
};

constexpr std::size_t bytes_per_pixel(PixelFormat format) {
    return format == PixelFormat::a8 ? 1 : format == PixelFormat::rgb8 ? 3 : 4;
}

// A picture in memory. With `alpha` the colour is RGB and the alpha a plane of its own, without gaps between its rows.
struct Picture {
    const std::uint8_t *rows = nullptr;
    std::size_t stride = 0;
    const std::uint8_t *alpha = nullptr;
    std::uint32_t width = 0;
    std::uint32_t height = 0;
    PixelLayout layout;
};

// What is wanted: always four bytes per pixel, sRGB-encoded, rows without gaps.
struct WantedLayout {
    bool bgra = false;
    bool premultiplied = false;
    bool bottom_up = false;
};

// Whether the picture's bytes already are what is wanted.
bool is_wanted(const Picture &picture, const WantedLayout &wanted);

// Brings a picture into the wanted layout in one pass. out: 4 * width * height bytes.
void convert(const Picture &picture, const WantedLayout &wanted, std::uint8_t *out);

} // namespace bunraku
