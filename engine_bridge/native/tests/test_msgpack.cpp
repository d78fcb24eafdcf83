#include <cstring>

#include "check.h"
#include "messages.h"
#include "msgpack_reader.h"
#include "msgpack_writer.h"

using namespace bunraku;

namespace {

std::string verdict(const std::string &bytes, std::size_t max_keys = MAX_HEADER_KEYS) {
    // On the heap and of the exact size, so that a sanitizer sees one byte too many.
    const std::vector<std::uint8_t> exact(bytes.begin(), bytes.end());
    Rejection why;
    return check_map(exact.data(), exact.size(), max_keys, why) ? "good" : why.code;
}

std::string nested(std::size_t arrays) { return "\x81\xa1x" + std::string(arrays, '\x91') + "\xc0"; }

std::string map_of(std::size_t pairs, bool same_key) {
    std::string bytes = std::string("\xde") + static_cast<char>(pairs >> 8) + static_cast<char>(pairs & 0xff);
    for (std::size_t i = 0; i < pairs; ++i) {
        const std::string key = same_key ? "same" : std::to_string(1000 + i);
        bytes += "\xa4" + key + "\x01";
    }
    return bytes;
}

} // namespace

TEST("msgpack", "one well-formed map is good") {
    CHECK_EQUAL(verdict("\x80"), "good");
    CHECK_EQUAL(verdict(std::string("\x82\xa1k\xa1"
                                    "f\xa1v\x00",
                                    8)),
                "good");
    CHECK_EQUAL(verdict("\x81\xa1x\x94\xc0\xc2\xc3\xcb@\x09!\xfbTD-\x18"), "good");
}

TEST("msgpack", "what is not a map, cut off or too long is msgpack") {
    CHECK_EQUAL(verdict(""), "msgpack");
    CHECK_EQUAL(verdict("\x90"), "msgpack");
    CHECK_EQUAL(verdict("\xc0"), "msgpack");
    CHECK_EQUAL(verdict("\x81\xa1k"), "msgpack");
    CHECK_EQUAL(verdict("\x81\xa1k\xc1"), "msgpack");
    CHECK_EQUAL(verdict("\x80\x80"), "msgpack");
    const std::string whole("\x82\xa1k\xa1"
                            "f\xa1v\xcd\x01\x02",
                            10);
    for (std::size_t length = 0; length < whole.size(); ++length) {
        CHECK_EQUAL(verdict(whole.substr(0, length)), "msgpack");
    }
}

TEST("msgpack", "promises beyond the bounds are refused before anything is read") {
    CHECK_EQUAL(verdict("\x81\xa1x\xdd\x0f\xff\xff\xff"), "msgpack");
    CHECK_EQUAL(verdict("\xdf\xff\xff\xff\xff"), "msgpack");
    CHECK_EQUAL(verdict("\x81\xa1x\xdb\xff\xff\xff\xff"), "msgpack");
    CHECK_EQUAL(verdict("\x81\xa1x\xdc\x04\x01" + std::string(1025, '\x01')), "msgpack");
    CHECK_EQUAL(verdict(std::string("\x81\xa1x\xdc\x04\x00", 6) + std::string(1024, '\x01')), "good");
    CHECK_EQUAL(verdict(std::string(MAX_PACKED_BYTES + 1, '\x80')), "header_size");
}

TEST("msgpack", "extension types are refused") {
    CHECK_EQUAL(verdict(std::string("\x81\xa1x\xd4\x05\x00", 6)), "msgpack");
    CHECK_EQUAL(verdict(std::string("\x81\xa1x\xc7\x00\x05", 6)), "msgpack");
    CHECK_EQUAL(verdict(std::string("\x81\xa1x\xd6\xff\x00\x00\x00\x00", 9)), "msgpack");
}

TEST("msgpack", "keys are strings, and strings UTF-8") {
    CHECK_EQUAL(verdict("\x81\x01\x02"), "msgpack");
    CHECK_EQUAL(verdict("\x81\xc4\x01k\xa1"
                        "f"),
                "msgpack");
    CHECK_EQUAL(verdict("\x81\xa1x\x81\x01\x02"), "msgpack");
    CHECK_EQUAL(verdict("\x81\xa1x\x81\x80\x02"), "msgpack");
    CHECK_EQUAL(verdict("\x81\xa1x\xa2\xc3\xa4"), "good");         // ä
    CHECK_EQUAL(verdict("\x81\xa1x\xa4\xf0\x9f\x8e\xad"), "good"); // a mask
    for (const char *broken : {"\xa1\xff", "\xa1\x80", "\xa2\xc0\x80", "\xa3\xed\xa0\x80", "\xa3\xe0\x80\x80",
                               "\xa4\xf4\x90\x80\x80", "\xa4\xf0\x80\x80\x80", "\xa2\xc3z", "\xa1\xc3"}) {
        CHECK_EQUAL(verdict(std::string("\x81\xa1x") + broken), "msgpack");
    }
}

TEST("msgpack", "depth is told apart from nonsense, as Python's reader does") {
    CHECK_EQUAL(verdict(nested(3)), "good");
    CHECK_EQUAL(verdict(nested(4)), "depth");
    CHECK_EQUAL(verdict(nested(1023)), "depth");
    CHECK_EQUAL(verdict(nested(1024)), "msgpack");
    CHECK_EQUAL(verdict(nested(60000)), "msgpack");
    CHECK_EQUAL(verdict(nested(4) + "\x01"), "msgpack");
}

TEST("msgpack", "keys are counted once each") {
    CHECK_EQUAL(verdict(map_of(64, false)), "good");
    CHECK_EQUAL(verdict(map_of(65, false)), "keys");
    CHECK_EQUAL(verdict(map_of(65, true)), "good");
    CHECK_EQUAL(verdict(map_of(256, false), MAX_MAP_KEYS), "good");
    CHECK_EQUAL(verdict(map_of(257, false), MAX_MAP_KEYS), "msgpack");
}

TEST("msgpack", "the last of equal keys holds") {
    const std::string bytes("\x83\xa1x\x01\xa1y\x02\xa1x\x03");
    const auto *const data = reinterpret_cast<const std::uint8_t *>(bytes.data());
    const Map map(data, data + bytes.size());
    Value value;
    REQUIRE(map.find("x", value));
    CHECK_EQUAL(value.bits, 3u);
    CHECK(!map.find("z", value));
}

TEST("msgpack", "what the writer writes, the reader reads") {
    messages::Packer packer;
    packer([](Writer &writer) {
        writer.map(9);
        writer.text("small");
        writer.number(127);
        writer.text("byte");
        writer.number(128);
        writer.text("word");
        writer.number(0x1234);
        writer.text("long");
        writer.number(0x12345678);
        writer.text("largest");
        writer.number(~std::uint64_t{0});
        writer.text("negative");
        writer.signed_number(-5);
        writer.text("lowest");
        writer.signed_number(INT64_MIN);
        writer.text("real");
        writer.real(0.5f);
        writer.text(std::string(300, 'k'));
        writer.real(-0.25);
    });
    Rejection why;
    REQUIRE(check_map(packer.bytes.data(), packer.bytes.size(), MAX_HEADER_KEYS, why));
    const Map map(packer.bytes.data(), packer.bytes.data() + packer.bytes.size());
    const auto number = [&](const char *key) {
        Value value;
        CHECK(map.find(key, value) && value.type == Type::integer);
        return value;
    };
    CHECK_EQUAL(number("small").bits, 127u);
    CHECK_EQUAL(number("byte").bits, 128u);
    CHECK_EQUAL(number("word").bits, 0x1234u);
    CHECK_EQUAL(number("long").bits, 0x12345678u);
    CHECK_EQUAL(number("largest").bits, ~std::uint64_t{0});
    CHECK_EQUAL(static_cast<std::int64_t>(number("negative").bits), -5);
    CHECK(number("negative").negative);
    CHECK_EQUAL(static_cast<std::int64_t>(number("lowest").bits), INT64_MIN);
    Value value;
    CHECK(map.find("real", value) && value.type == Type::real && value.real == 0.5);
    CHECK(map.find(std::string(300, 'k'), value) && value.real == -0.25);
}

TEST("msgpack", "a writer without room says so and writes nothing outside") {
    std::vector<std::uint8_t> room(4);
    Writer writer(room.data(), room.size());
    writer.text("longer than four bytes");
    writer.number(~std::uint64_t{0});
    CHECK(!writer.fits());
    CHECK_EQUAL(writer.size(), 1u + 22u + 9u);
}
