#include "pixels.h"

#include <array>
#include <cmath>
#include <cstring>

namespace bunraku {
namespace {

using Table = std::array<std::uint8_t, 256>;

// The transfer function of IEC 61966-2-1, for the 256 values that a byte can hold.
Table make_srgb_from_linear() {
    Table table{};
    for (std::size_t i = 0; i < table.size(); ++i) {
        const double linear = static_cast<double>(i) / 255.0;
        const double encoded = linear <= 0.0031308 ? 12.92 * linear : 1.055 * std::pow(linear, 1.0 / 2.4) - 0.055;
        table[i] = static_cast<std::uint8_t>(std::nearbyint(encoded * 255.0));
    }
    return table;
}

const Table &srgb_from_linear() {
    static const Table table = make_srgb_from_linear();
    return table;
}

struct Pixel {
    std::uint8_t red, green, blue, alpha;
};

template <PixelFormat FORMAT> Pixel read(const std::uint8_t *at) {
    if constexpr (FORMAT == PixelFormat::rgba8) {
        return {at[0], at[1], at[2], at[3]};
    } else if constexpr (FORMAT == PixelFormat::bgra8) {
        return {at[2], at[1], at[0], at[3]};
    } else if constexpr (FORMAT == PixelFormat::rgb8) {
        return {at[0], at[1], at[2], 255};
    } else {
        return {255, 255, 255, at[0]}; // coverage: white where alpha is
    }
}

std::uint8_t unpremultiplied(std::uint8_t colour, std::uint32_t alpha) {
    const std::uint32_t straight = (colour * 255u + alpha / 2) / (alpha == 0 ? 1 : alpha);
    return static_cast<std::uint8_t>(straight < 255 ? straight : 255);
}

std::uint8_t premultiplied(std::uint8_t colour, std::uint32_t alpha) {
    return static_cast<std::uint8_t>((colour * alpha + 127) / 255);
}

struct Steps {
    bool opaque, unpremultiply, decode_linear, premultiply;
    const Table &srgb;

    bool any_arithmetic() const { return unpremultiply || decode_linear || premultiply; }

    Pixel operator()(Pixel pixel) const {
        if (unpremultiply) {
            pixel.red = unpremultiplied(pixel.red, pixel.alpha);
            pixel.green = unpremultiplied(pixel.green, pixel.alpha);
            pixel.blue = unpremultiplied(pixel.blue, pixel.alpha);
        }
        if (decode_linear) {
            pixel.red = srgb[pixel.red];
            pixel.green = srgb[pixel.green];
            pixel.blue = srgb[pixel.blue];
        }
        if (premultiply) {
            pixel.red = premultiplied(pixel.red, pixel.alpha);
            pixel.green = premultiplied(pixel.green, pixel.alpha);
            pixel.blue = premultiplied(pixel.blue, pixel.alpha);
        }
        return pixel;
    }
};

struct Row {
    const std::uint8_t *colour;
    const std::uint8_t *alpha; // a plane of its own, or null
    std::uint32_t width;
};

template <PixelFormat FORMAT, bool BGRA, bool ARITHMETIC>
void convert_row(const Row &row, const Steps &steps, std::uint8_t *out) {
    for (std::uint32_t x = 0; x < row.width; ++x) {
        Pixel pixel = read<FORMAT>(row.colour + x * bytes_per_pixel(FORMAT));
        if (row.alpha != nullptr) {
            pixel.alpha = row.alpha[x];
        }
        if (steps.opaque) {
            pixel.alpha = 255;
        }
        if constexpr (ARITHMETIC) {
            pixel = steps(pixel);
        }
        out[4 * x + 0] = BGRA ? pixel.blue : pixel.red;
        out[4 * x + 1] = pixel.green;
        out[4 * x + 2] = BGRA ? pixel.red : pixel.blue;
        out[4 * x + 3] = pixel.alpha;
    }
}

using ConvertRow = void (*)(const Row &, const Steps &, std::uint8_t *);

template <PixelFormat FORMAT> ConvertRow choose(bool bgra, bool arithmetic) {
    if (arithmetic) {
        return bgra ? convert_row<FORMAT, true, true> : convert_row<FORMAT, false, true>;
    }
    return bgra ? convert_row<FORMAT, true, false> : convert_row<FORMAT, false, false>;
}

ConvertRow choose(PixelFormat format, bool bgra, bool arithmetic) {
    switch (format) {
    case PixelFormat::bgra8: return choose<PixelFormat::bgra8>(bgra, arithmetic);
    case PixelFormat::rgb8: return choose<PixelFormat::rgb8>(bgra, arithmetic);
    case PixelFormat::a8: return choose<PixelFormat::a8>(bgra, arithmetic);
    case PixelFormat::rgba8: break;
    }
    return choose<PixelFormat::rgba8>(bgra, arithmetic);
}

// Whether a pixel's four bytes are as wanted, wherever its row lies.
bool has_wanted_pixels(const Picture &picture, const WantedLayout &wanted) {
    const PixelLayout &layout = picture.layout;
    const PixelFormat format = wanted.bgra ? PixelFormat::bgra8 : PixelFormat::rgba8;
    const AlphaMode alpha = wanted.premultiplied ? AlphaMode::premultiplied : AlphaMode::straight;
    return picture.alpha == nullptr && layout.format == format && layout.alpha == alpha && !layout.linear;
}

} // namespace

bool is_wanted(const Picture &picture, const WantedLayout &wanted) {
    return has_wanted_pixels(picture, wanted) && picture.layout.bottom_up == wanted.bottom_up &&
           picture.stride == std::size_t{4} * picture.width;
}

void convert(const Picture &picture, const WantedLayout &wanted, std::uint8_t *out) {
    const PixelLayout &layout = picture.layout;
    const bool was_premultiplied = layout.alpha == AlphaMode::premultiplied;
    const bool opaque = layout.alpha == AlphaMode::opaque;
    // Premultiplied colour that shall stay so needs no way through straight alpha, unless it is linear.
    const bool keeps = was_premultiplied && wanted.premultiplied && !layout.linear;
    const Steps steps{
        opaque,
        was_premultiplied && !keeps,
        layout.linear,
        wanted.premultiplied && !keeps && !opaque,
        srgb_from_linear(),
    };
    const PixelFormat format = picture.alpha != nullptr ? PixelFormat::rgb8 : layout.format;
    const ConvertRow convert_one = choose(format, wanted.bgra, steps.any_arithmetic());
    const bool copies = has_wanted_pixels(picture, wanted);
    const bool flips = layout.bottom_up != wanted.bottom_up;
    const std::size_t out_stride = std::size_t{4} * picture.width;
    for (std::uint32_t y = 0; y < picture.height; ++y) {
        const std::uint32_t source_y = flips ? picture.height - 1 - y : y;
        const std::uint8_t *const colour = picture.rows + source_y * picture.stride;
        const std::uint8_t *const alpha =
            picture.alpha == nullptr ? nullptr : picture.alpha + std::size_t{source_y} * picture.width;
        if (copies) {
            std::memcpy(out + y * out_stride, colour, out_stride);
        } else {
            convert_one({colour, alpha, picture.width}, steps, out + y * out_stride);
        }
    }
}

} // namespace bunraku
