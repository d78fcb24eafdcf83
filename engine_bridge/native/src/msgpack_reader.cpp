#include "msgpack_reader.h"

#include <cstring>

namespace bunraku {
namespace {

std::uint64_t big_endian(const std::uint8_t *at, std::size_t bytes) {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < bytes; ++i) {
        value = value << 8 | at[i];
    }
    return value;
}

// Reads one value without what is inside it. Returns the first byte after it, or nullptr if the bytes end too soon or
// mean nothing that is allowed here.
const std::uint8_t *read_value(const std::uint8_t *at, const std::uint8_t *end, Value &value) {
    if (at == end) {
        return nullptr;
    }
    const std::uint8_t tag = *at++;
    const auto left = [&] { return static_cast<std::size_t>(end - at); };

    const auto integer = [&](std::size_t bytes, bool is_signed) -> const std::uint8_t * {
        if (left() < bytes) {
            return nullptr;
        }
        std::uint64_t bits = big_endian(at, bytes);
        const unsigned width = static_cast<unsigned>(8 * bytes);
        const bool negative = is_signed && (bits >> (width - 1)) != 0;
        if (negative && width < 64) {
            bits |= ~std::uint64_t{0} << width;
        }
        value.type = Type::integer;
        value.negative = negative;
        value.bits = bits;
        return at + bytes;
    };
    const auto real = [&](std::size_t bytes) -> const std::uint8_t * {
        if (left() < bytes) {
            return nullptr;
        }
        const std::uint64_t bits = big_endian(at, bytes);
        if (bytes == 4) {
            const auto narrow = static_cast<std::uint32_t>(bits);
            float single;
            std::memcpy(&single, &narrow, sizeof single);
            value.real = static_cast<double>(single);
        } else {
            std::memcpy(&value.real, &bits, sizeof value.real);
        }
        value.type = Type::real;
        return at + bytes;
    };
    const auto bytes_of = [&](Type type, std::size_t length) -> const std::uint8_t * {
        if (left() < length) {
            return nullptr;
        }
        value.type = type;
        value.data = at;
        value.size = static_cast<std::uint32_t>(length);
        return at + length;
    };
    const auto long_bytes = [&](Type type, std::size_t length_bytes) -> const std::uint8_t * {
        if (left() < length_bytes) {
            return nullptr;
        }
        const std::uint64_t length = big_endian(at, length_bytes);
        at += length_bytes;
        return bytes_of(type, static_cast<std::size_t>(length));
    };
    const auto container = [&](Type type, std::size_t count) -> const std::uint8_t * {
        if (count > (type == Type::map ? MAX_MAP_KEYS : MAX_ARRAY)) {
            return nullptr;
        }
        value.type = type;
        value.data = at;
        value.size = static_cast<std::uint32_t>(count);
        return at;
    };
    const auto long_container = [&](Type type, std::size_t count_bytes) -> const std::uint8_t * {
        if (left() < count_bytes) {
            return nullptr;
        }
        const std::uint64_t count = big_endian(at, count_bytes);
        at += count_bytes;
        return container(type, static_cast<std::size_t>(count));
    };

    if (tag <= 0x7f || tag >= 0xe0) { // fixint
        value.type = Type::integer;
        value.negative = tag >= 0xe0;
        value.bits = value.negative ? ~std::uint64_t{0} << 8 | tag : tag;
        return at;
    }
    if (tag <= 0x8f) {
        return container(Type::map, tag & 0x0fu);
    }
    if (tag <= 0x9f) {
        return container(Type::array, tag & 0x0fu);
    }
    if (tag <= 0xbf) {
        return bytes_of(Type::string, tag & 0x1fu);
    }
    switch (tag) {
    case 0xc0: value.type = Type::nil; return at;
    case 0xc2:
    case 0xc3:
        value.type = Type::boolean;
        value.boolean = tag == 0xc3;
        return at;
    case 0xc4: return long_bytes(Type::binary, 1);
    case 0xc5: return long_bytes(Type::binary, 2);
    case 0xc6: return long_bytes(Type::binary, 4);
    case 0xca: return real(4);
    case 0xcb: return real(8);
    case 0xcc: return integer(1, false);
    case 0xcd: return integer(2, false);
    case 0xce: return integer(4, false);
    case 0xcf: return integer(8, false);
    case 0xd0: return integer(1, true);
    case 0xd1: return integer(2, true);
    case 0xd2: return integer(4, true);
    case 0xd3: return integer(8, true);
    case 0xd9: return long_bytes(Type::string, 1);
    case 0xda: return long_bytes(Type::string, 2);
    case 0xdb: return long_bytes(Type::string, 4);
    case 0xdc: return long_container(Type::array, 2);
    case 0xdd: return long_container(Type::array, 4);
    case 0xde: return long_container(Type::map, 2);
    case 0xdf: return long_container(Type::map, 4);
    default: return nullptr; // 0xc1 is nothing, 0xc7 to 0xc9 and 0xd4 to 0xd8 are extension types
    }
}

// Steps over one value of checked bytes and all that is inside it.
const std::uint8_t *skip_value(const std::uint8_t *at, const std::uint8_t *end) {
    for (std::size_t values = 1; values > 0; --values) {
        Value value;
        at = read_value(at, end, value);
        if (at == nullptr) {
            return nullptr;
        }
        if (value.type == Type::map) {
            values += 2 * std::size_t{value.size};
        } else if (value.type == Type::array) {
            values += value.size;
        }
    }
    return at;
}

bool is_continuation(std::uint8_t byte) { return (byte & 0xc0) == 0x80; }

// UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing beyond U+10FFFF.
bool is_utf8(const std::uint8_t *at, std::size_t size) {
    const std::uint8_t *const end = at + size;
    while (at < end) {
        const std::uint8_t lead = *at++;
        if (lead < 0x80) {
            continue;
        }
        const std::size_t more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
        if (lead < 0xc2 || lead > 0xf4 || static_cast<std::size_t>(end - at) < more) {
            return false;
        }
        const std::uint8_t second = *at;
        if ((lead == 0xe0 && second < 0xa0) || (lead == 0xed && second > 0x9f) || (lead == 0xf0 && second < 0x90) ||
            (lead == 0xf4 && second > 0x8f)) {
            return false;
        }
        for (std::size_t i = 0; i < more; ++i) {
            if (!is_continuation(*at++)) {
                return false;
            }
        }
    }
    return true;
}

// A map or array that is being checked: how many of its keys and values are still to come.
struct Level {
    std::uint16_t left;
    bool is_map;
};

} // namespace

bool check_map(const std::uint8_t *data, std::size_t size, std::size_t max_keys, Rejection &why) {
    if (size > MAX_PACKED_BYTES) {
        return why.because("header_size", "a packed map of %zu bytes, the limit is %zu", size, MAX_PACKED_BYTES);
    }
    const std::uint8_t *const end = data + size;
    const std::uint8_t *at = data;
    Level levels[MAX_NESTING];
    std::size_t depth = 0;
    bool too_deep = false;
    bool key_without_text = false;
    bool expects_key = false;
    std::size_t keys = 0;
    std::size_t elements = 0;
    do {
        Value value;
        const std::size_t offset = static_cast<std::size_t>(at - data);
        at = read_value(at, end, value);
        if (at == nullptr) {
            return why.because("msgpack", "not well-formed, bounded msgpack at byte %zu of %zu", offset, size);
        }
        if (depth == 0) {
            if (value.type != Type::map) {
                return why.because("msgpack", "something else where a map must be");
            }
            keys = value.size;
        }
        if (value.type == Type::string && !is_utf8(value.data, value.size)) {
            return why.because("msgpack", "a string at byte %zu that is not UTF-8", offset);
        }
        if (expects_key && value.type != Type::string) {
            if (value.type != Type::binary) {
                return why.because("msgpack", "a map key at byte %zu that is not a string", offset);
            }
            key_without_text |= depth <= MAX_DEPTH;
        }
        if (value.type == Type::map || value.type == Type::array) {
            if (depth == MAX_NESTING) {
                return why.because("msgpack", "nested deeper than %zu", MAX_NESTING);
            }
            elements += value.size;
            if (elements > MAX_ELEMENTS) {
                return why.because("msgpack", "more than %zu elements", MAX_ELEMENTS);
            }
            const bool is_map = value.type == Type::map;
            levels[depth++] = {static_cast<std::uint16_t>(is_map ? 2 * value.size : value.size), is_map};
            too_deep |= depth > MAX_DEPTH;
        }
        while (depth > 0 && levels[depth - 1].left == 0) {
            --depth;
        }
        if (depth > 0) {
            Level &level = levels[depth - 1];
            expects_key = level.is_map && level.left % 2 == 0;
            --level.left;
        }
    } while (depth > 0);
    if (at != end) {
        return why.because("msgpack", "%zu bytes after the map", static_cast<std::size_t>(end - at));
    }
    if (keys > max_keys) {
        const std::size_t distinct = Map(data, end).size();
        if (distinct > max_keys) {
            return why.because("keys", "%zu keys, the limit is %zu", distinct, max_keys);
        }
    }
    if (key_without_text) {
        return why.because("msgpack", "a map key that is not a string");
    }
    if (too_deep) {
        return why.because("depth", "maps and arrays nested deeper than %zu", MAX_DEPTH);
    }
    return true;
}

Map::Map(const std::uint8_t *packed, const std::uint8_t *end) : end_(end) {
    Value map;
    read_value(packed, end, map);
    index(map);
}

Map::Map(const Value &map, const std::uint8_t *end) : end_(end) { index(map); }

void Map::index(const Value &map) {
    const std::uint8_t *at = map.data;
    for (std::uint32_t i = 0; i < map.size; ++i) {
        Value key;
        at = read_value(at, end_, key);
        const std::uint8_t *const value = at;
        at = skip_value(at, end_);
        std::size_t place = 0;
        while (place < size_ && entries_[place].key != key.text()) {
            ++place;
        }
        entries_[place] = {key.text(), value};
        size_ += place == size_ ? 1 : 0;
    }
}

bool Map::find(std::string_view key, Value &value) const {
    for (std::size_t i = 0; i < size_; ++i) {
        if (entries_[i].key == key) {
            read_value(entries_[i].value, end_, value);
            return true;
        }
    }
    return false;
}

bool Array::next(Value &value) {
    if (left_ == 0) {
        return false;
    }
    --left_;
    value = Value{};
    read_value(at_, end_, value);
    at_ = skip_value(at_, end_);
    return true;
}

} // namespace bunraku
