#include "settings_text.h"

#include <cstdio>
#include <memory>

namespace bunraku {
namespace {

constexpr std::size_t MAX_FILE_BYTES = 8 * 1024;
constexpr std::string_view BLANKS = " \t\r";

std::string_view trimmed(std::string_view text) {
    const std::size_t first = text.find_first_not_of(BLANKS);
    if (first == std::string_view::npos) {
        return {};
    }
    return text.substr(first, text.find_last_not_of(BLANKS) - first + 1);
}

struct CloseFile {
    void operator()(std::FILE *file) const { std::fclose(file); }
};

} // namespace

bool read_small_file(const std::string &path, std::string &text) {
    const std::unique_ptr<std::FILE, CloseFile> file(std::fopen(path.c_str(), "rb"));
    if (!file) {
        return false;
    }
    text.resize(MAX_FILE_BYTES + 1);
    text.resize(std::fread(text.data(), 1, text.size(), file.get()));
    return std::ferror(file.get()) == 0 && text.size() <= MAX_FILE_BYTES;
}

bool read_settings(std::string_view text, const std::function<void(std::string_view, std::string_view, bool)> &take) {
    while (!text.empty()) {
        const std::size_t newline = text.find('\n');
        const std::string_view line = trimmed(text.substr(0, newline));
        text = newline == std::string_view::npos ? std::string_view{} : text.substr(newline + 1);
        if (line.empty() || line.front() == '#') {
            continue;
        }
        const std::size_t equals = line.find('=');
        if (equals == std::string_view::npos) {
            return false;
        }
        const std::string_view key = trimmed(line.substr(0, equals));
        std::string_view value = trimmed(line.substr(equals + 1));
        const bool quoted = value.size() >= 2 && value.front() == '"' && value.back() == '"';
        if (quoted) {
            value = value.substr(1, value.size() - 2);
        }
        if (key.empty() || value.find('"') != std::string_view::npos) {
            return false;
        }
        take(key, value, quoted);
    }
    return true;
}

} // namespace bunraku
