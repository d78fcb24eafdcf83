// Typed reading of one msgpack map: which keys are needed, which may be there, and of what type they must be.
#pragma once

#include <cstdint>
#include <limits>
#include <string_view>

#include "msgpack_reader.h"
#include "rejection.h"

namespace bunraku {

constexpr std::uint64_t MAX_U64 = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint64_t MAX_I64 = std::numeric_limits<std::int64_t>::max();

// Reads the known keys of one map and remembers the first one that is missing or of a wrong type.
class Fields {
public:
    // where: what the map is, for people.
    Fields(const Map &map, const char *where) : map_(map), where_(where) {}

    void need(const char *key, std::uint64_t &out, std::uint64_t least = 0, std::uint64_t most = MAX_U64) {
        Value value;
        if (!map_.find(key, value)) {
            fail(key, "is missing");
        } else {
            take_unsigned(key, value, out, least, most);
        }
    }
    void need(const char *key, std::string_view &out) {
        Value value;
        if (!map_.find(key, value)) {
            fail(key, "is missing");
        } else {
            take_text(key, value, out);
        }
    }
    void need(const char *key, std::int64_t &out) {
        Value value;
        if (!map_.find(key, value)) {
            fail(key, "is missing");
        } else {
            take_signed(key, value, out);
        }
    }
    void need(const char *key, double &out) {
        Value value;
        if (!map_.find(key, value)) {
            fail(key, "is missing");
        } else {
            take_real(key, value, out);
        }
    }
    void may(const char *key, std::uint64_t &out, std::uint64_t most = MAX_U64) {
        Value value;
        if (map_.find(key, value)) {
            take_unsigned(key, value, out, 0, most);
        }
    }
    void may(const char *key, std::string_view &out) {
        Value value;
        if (map_.find(key, value)) {
            take_text(key, value, out);
        }
    }
    void may(const char *key, bool &out) {
        Value value;
        if (map_.find(key, value)) {
            if (value.type != Type::boolean) {
                fail(key, "is no boolean");
            }
            out = value.boolean;
        }
    }
    void may(const char *key, std::int64_t &out) {
        Value value;
        if (map_.find(key, value)) {
            take_signed(key, value, out);
        }
    }
    void may(const char *key, double &out) {
        Value value;
        if (map_.find(key, value)) {
            take_real(key, value, out);
        }
    }
    // As above, where nil stands for "not told".
    void may_or_nil(const char *key, std::uint64_t &out, bool &told, std::uint64_t most = MAX_U64) {
        Value value;
        if (find_told(key, value)) {
            take_unsigned(key, value, out, 0, most);
            told = true;
        }
    }
    void may_or_nil(const char *key, std::int64_t &out, bool &told) {
        Value value;
        if (find_told(key, value)) {
            take_signed(key, value, out);
            told = true;
        }
    }
    void may_or_nil(const char *key, double &out) {
        Value value;
        if (find_told(key, value)) {
            take_real(key, value, out);
        }
    }
    // Whether there is a map or array to look into.
    bool map(const char *key, Value &value) {
        return map_.find(key, value) && is(key, value, Type::map, "is not a map");
    }
    bool map_or_nil(const char *key, Value &value) {
        return find_told(key, value) && is(key, value, Type::map, "is not a map");
    }
    bool array(const char *key, Value &value) {
        return map_.find(key, value) && is(key, value, Type::array, "is not an array");
    }
    bool array_or_nil(const char *key, Value &value) {
        return find_told(key, value) && is(key, value, Type::array, "is not an array");
    }

    void fail(const char *key, const char *what) {
        if (bad_key_ == nullptr) {
            bad_key_ = key;
            what_ = what;
        }
    }
    bool all_good(Rejection &why) const {
        return bad_key_ == nullptr || why.because("header", "%s: key %s %s", where_, bad_key_, what_);
    }

private:
    bool find_told(const char *key, Value &value) const { return map_.find(key, value) && value.type != Type::nil; }

    bool is(const char *key, const Value &value, Type type, const char *otherwise) {
        if (value.type == type) {
            return true;
        }
        fail(key, otherwise);
        return false;
    }
    void take_unsigned(const char *key, const Value &value, std::uint64_t &out, std::uint64_t least,
                       std::uint64_t most) {
        if (value.type != Type::integer || value.negative) {
            fail(key, "is not an unsigned integer");
        } else if (value.bits < least || value.bits > most) {
            fail(key, "is out of range");
        }
        out = value.bits;
    }
    void take_signed(const char *key, const Value &value, std::int64_t &out) {
        if (value.type != Type::integer || (!value.negative && value.bits > MAX_I64)) {
            fail(key, "is no signed 64-bit integer");
        }
        out = static_cast<std::int64_t>(value.bits);
    }
    void take_text(const char *key, const Value &value, std::string_view &out) {
        if (value.type != Type::string) {
            fail(key, "is not a string");
            return;
        }
        out = value.text();
    }
    void take_real(const char *key, const Value &value, double &out) {
        if (value.type == Type::real) {
            out = value.real;
        } else if (value.type == Type::integer) {
            out = value.negative ? static_cast<double>(static_cast<std::int64_t>(value.bits))
                                 : static_cast<double>(value.bits);
        } else {
            fail(key, "is no number");
        }
    }

    const Map &map_;
    const char *where_;
    const char *bad_key_ = nullptr;
    const char *what_ = "";
};

} // namespace bunraku
