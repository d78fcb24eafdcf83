// msgpack with bounds, read in place: nothing is allocated, whatever the bytes promise. Twin of
// engine_bridge/avf/packing.py.
//
// check_map() looks at every byte once; only what it has let through may be given to Map and Array.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "rejection.h"

namespace bunraku {

constexpr std::size_t MAX_PACKED_BYTES = 64 * 1024;
constexpr std::size_t MAX_HEADER_KEYS = 64;
constexpr std::size_t MAX_MAP_KEYS = 256;
constexpr std::size_t MAX_ARRAY = 1024;
constexpr std::size_t MAX_ELEMENTS = 4096; // pairs of all maps and elements of all arrays together
constexpr std::size_t MAX_DEPTH = 4;      // levels of maps and arrays, the outermost map being the first
constexpr std::size_t MAX_NESTING = 1024; // deeper than this nothing is even looked at

enum class Type : std::uint8_t { nil, boolean, integer, real, string, binary, array, map };

// One value. For strings and binaries `data` and `size` are their bytes; for arrays and maps `data` is the first
// element and `size` the number of elements or pairs.
struct Value {
    Type type = Type::nil;
    bool boolean = false;
    bool negative = false;  // of an integer: `bits` is then the two's complement of an int64
    std::uint64_t bits = 0; // of an integer
    double real = 0.0;      // of a real
    const std::uint8_t *data = nullptr;
    std::uint32_t size = 0;

    std::string_view text() const { return {reinterpret_cast<const char *>(data), size}; }
};

// Says whether the bytes are exactly one bounded, well-formed map; otherwise why: `header_size`, `msgpack`, `keys` or
// `depth`.
bool check_map(const std::uint8_t *data, std::size_t size, std::size_t max_keys, Rejection &why);

// A map of checked bytes. Of a key that is there twice, the last one holds.
class Map {
public:
    // packed: checked bytes that begin with a map.
    Map(const std::uint8_t *packed, const std::uint8_t *end);

    // A map inside another one; `map` must be of Type::map.
    Map(const Value &map, const std::uint8_t *end);

    bool find(std::string_view key, Value &value) const;
    std::size_t size() const { return size_; }
    const std::uint8_t *end() const { return end_; }

private:
    void index(const Value &map);

    struct Entry {
        std::string_view key;
        const std::uint8_t *value;
    };
    Entry entries_[MAX_MAP_KEYS];
    std::size_t size_ = 0;
    const std::uint8_t *end_;
};

// Reads the elements of an array of checked bytes, one after another.
class Array {
public:
    Array(const Value &array, const std::uint8_t *end) : at_(array.data), end_(end), left_(array.size) {}

    bool next(Value &value);

private:
    const std::uint8_t *at_;
    const std::uint8_t *end_;
    std::uint32_t left_;
};

} // namespace bunraku
