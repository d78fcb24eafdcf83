#include <algorithm>
#include <cmath>
#include <vector>

#include "check.h"
#include "checksum.h"
#include "pixels.h"

using namespace bunraku;

namespace {

using Bytes4 = std::vector<std::uint8_t>;

Bytes4 converted(const Bytes4 &rows, std::uint32_t width, std::uint32_t height, PixelLayout layout,
                 WantedLayout wanted = {}, std::size_t stride = 0) {
    Picture picture;
    picture.rows = rows.data();
    picture.stride = stride != 0 ? stride : width * bytes_per_pixel(layout.format);
    picture.width = width;
    picture.height = height;
    picture.layout = layout;
    Bytes4 out(std::size_t{4} * width * height);
    convert(picture, wanted, out.data());
    return out;
}

// What engine_bridge/avf/pixels.py says of one pixel, in the simplest words.
Bytes4 by_the_book(int red, int green, int blue, int alpha, PixelLayout layout) {
    int colours[] = {red, green, blue};
    if (layout.alpha == AlphaMode::opaque) {
        alpha = 255;
    }
    for (int &colour : colours) {
        if (layout.alpha == AlphaMode::premultiplied) {
            colour = std::min((colour * 255 + alpha / 2) / std::max(alpha, 1), 255);
        }
        if (layout.linear) {
            const double linear = colour / 255.0;
            const double encoded = linear <= 0.0031308 ? 12.92 * linear : 1.055 * std::pow(linear, 1 / 2.4) - 0.055;
            colour = static_cast<int>(std::floor(encoded * 255.0 + 0.5));
        }
    }
    return {static_cast<std::uint8_t>(colours[0]), static_cast<std::uint8_t>(colours[1]),
            static_cast<std::uint8_t>(colours[2]), static_cast<std::uint8_t>(alpha)};
}

} // namespace

TEST("pixels", "every format becomes RGBA") {
    CHECK(converted({1, 2, 3, 4}, 1, 1, {PixelFormat::rgba8, {}, false, false}) == Bytes4({1, 2, 3, 4}));
    CHECK(converted({1, 2, 3, 4}, 1, 1, {PixelFormat::bgra8, {}, false, false}) == Bytes4({3, 2, 1, 4}));
    CHECK(converted({1, 2, 3}, 1, 1, {PixelFormat::rgb8, {}, false, false}) == Bytes4({1, 2, 3, 255}));
    CHECK(converted({9}, 1, 1, {PixelFormat::a8, {}, false, false}) == Bytes4({255, 255, 255, 9}));
}

TEST("pixels", "all colours, alphas, spaces and modes agree with the definition") {
    for (const AlphaMode mode : {AlphaMode::straight, AlphaMode::premultiplied, AlphaMode::opaque}) {
        for (const bool linear : {false, true}) {
            const PixelLayout layout{PixelFormat::rgba8, mode, linear, false};
            for (int alpha = 0; alpha < 256; ++alpha) {
                Bytes4 row;
                Bytes4 expected;
                for (int colour = 0; colour < 256; ++colour) {
                    const Bytes4 pixel = {static_cast<std::uint8_t>(colour), static_cast<std::uint8_t>(255 - colour),
                                          77, static_cast<std::uint8_t>(alpha)};
                    row.insert(row.end(), pixel.begin(), pixel.end());
                    const Bytes4 one = by_the_book(colour, 255 - colour, 77, alpha, layout);
                    expected.insert(expected.end(), one.begin(), one.end());
                }
                CHECK(converted(row, 256, 1, layout) == expected);
            }
        }
    }
}

TEST("pixels", "premultiplied is colour times alpha, rounded") {
    Bytes4 row;
    for (int colour = 0; colour < 256; ++colour) {
        row.insert(row.end(), {static_cast<std::uint8_t>(colour), 255, 0, 128});
    }
    const Bytes4 out = converted(row, 256, 1, {}, {false, true, false});
    for (int colour = 0; colour < 256; ++colour) {
        CHECK_EQUAL(int{out[4 * static_cast<std::size_t>(colour)]},
                    static_cast<int>(std::lround(colour * 128 / 255.0)));
    }
}

TEST("pixels", "premultiplied stays as it is for those who want it so") {
    const Bytes4 odd = {200, 100, 50, 10}; // more colour than alpha, which a way through straight would cut
    CHECK(converted(odd, 1, 1, {PixelFormat::rgba8, AlphaMode::premultiplied, false, false}, {false, true, false}) ==
          odd);
    CHECK(converted(odd, 1, 1, {PixelFormat::rgba8, AlphaMode::premultiplied, false, false}, {true, true, false}) ==
          Bytes4({50, 100, 200, 10}));
}

TEST("pixels", "rows are flipped and gaps left out") {
    const Bytes4 rows = {1, 1, 1, 1, 0, 0, 2, 2, 2, 2, 0, 0}; // 1x2, six bytes a row
    const PixelLayout bottom{PixelFormat::rgba8, AlphaMode::straight, false, true};
    CHECK(converted(rows, 1, 2, {}, {}, 6) == Bytes4({1, 1, 1, 1, 2, 2, 2, 2}));
    CHECK(converted(rows, 1, 2, bottom, {}, 6) == Bytes4({2, 2, 2, 2, 1, 1, 1, 1}));
    CHECK(converted(rows, 1, 2, {}, {false, false, true}, 6) == Bytes4({2, 2, 2, 2, 1, 1, 1, 1}));
    CHECK(converted(rows, 1, 2, bottom, {false, false, true}, 6) == Bytes4({1, 1, 1, 1, 2, 2, 2, 2}));
}

TEST("pixels", "a plane of alpha is joined to a plane of colour") {
    const Bytes4 colour = {1, 2, 3, 4, 5, 6};
    const Bytes4 alpha = {7, 8};
    Picture picture;
    picture.rows = colour.data();
    picture.stride = 3;
    picture.alpha = alpha.data();
    picture.width = 1;
    picture.height = 2;
    picture.layout.bottom_up = true;
    Bytes4 out(8);
    convert(picture, {true, false, false}, out.data());
    CHECK(out == Bytes4({6, 5, 4, 8, 3, 2, 1, 7}));
}

TEST("pixels", "what already is as wanted is known") {
    Picture picture;
    picture.stride = 8;
    picture.width = 2;
    picture.height = 1;
    CHECK(is_wanted(picture, {}));
    CHECK(!is_wanted(picture, {true, false, false}));
    CHECK(!is_wanted(picture, {false, true, false}));
    CHECK(!is_wanted(picture, {false, false, true}));
    picture.layout.alpha = AlphaMode::premultiplied;
    picture.layout.format = PixelFormat::bgra8;
    picture.layout.bottom_up = true;
    CHECK(is_wanted(picture, {true, true, true}));
    picture.layout.linear = true;
    CHECK(!is_wanted(picture, {true, true, true}));
    picture.layout = {};
    picture.stride = 12;
    CHECK(!is_wanted(picture, {}));
}

TEST("pixels", "checksums are those of zlib") {
    const std::string text = "123456789";
    CHECK_EQUAL(crc32(reinterpret_cast<const std::uint8_t *>(text.data()), text.size()), 0xcbf43926u);
    CHECK_EQUAL(crc32(nullptr, 0), 0u);
    const std::vector<std::uint8_t> zeros(32, 0);
    CHECK_EQUAL(crc32(zeros.data(), zeros.size()), 0x190a55adu);
}
