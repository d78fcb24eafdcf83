// Small files of `key = value` lines, strings in double quotes without escapes: key files and stream files.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace bunraku {

// Reads a file of at most 8 KiB; says false if it is larger or cannot be read.
bool read_small_file(const std::string &path, std::string &text);

// Calls `take(key, value, quoted)` for each line; empty lines and those that begin with # are left out. Says false at
// the first line that is none.
bool read_settings(std::string_view text, const std::function<void(std::string_view, std::string_view, bool)> &take);

} // namespace bunraku
