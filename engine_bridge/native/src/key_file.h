// A client's keys for CURVE: a file of three lines, and what a key looks like.
#pragma once

#include <string_view>

#include "rejection.h"
#include "sockets.h"

namespace bunraku {

// Whether it is a key: 40 characters of Z85.
bool is_key(std::string_view text);

// Reads the text of a key file; otherwise why (no code).
bool read_keys(std::string_view text, CurveKeys &keys, Rejection &why);

} // namespace bunraku
