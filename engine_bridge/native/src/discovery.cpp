#include "discovery.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <vector>

#include "endpoint.h"
#include "header.h"
#include "settings_text.h"

#if defined(_WIN32)
#include <windows.h>
#else
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

namespace bunraku {
namespace {

constexpr std::string_view SUFFIX = ".toml";

bool is_number(std::string_view text, unsigned long long &number) {
    number = 0;
    for (const char digit : text) {
        if (digit < '0' || digit > '9') {
            return false;
        }
        number = 10 * number + static_cast<unsigned long long>(digit - '0');
    }
    return !text.empty() && text.size() <= 10;
}

#if defined(_WIN32)
bool is_running(unsigned long long process) {
    const HANDLE handle = OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, FALSE, static_cast<DWORD>(process));
    if (handle == nullptr) {
        return GetLastError() == ERROR_ACCESS_DENIED;
    }
    DWORD code = 0;
    const bool running = GetExitCodeProcess(handle, &code) != 0 && code == STILL_ACTIVE;
    CloseHandle(handle);
    return running;
}
#else
bool is_running(unsigned long long process) {
    return process <= 0x7fffffff && (kill(static_cast<pid_t>(process), 0) == 0 || errno == EPERM);
}

// Whoever can write there could send this user's programs anywhere.
bool is_private(const std::string &folder) {
    struct stat status{};
    return lstat(folder.c_str(), &status) == 0 && S_ISDIR(status.st_mode) && status.st_uid == geteuid() &&
           (status.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}
#endif

// A file says its stream twice, in its name too.
bool read_live_stream(const std::filesystem::path &path, FoundStream &found) {
    std::string text;
    return read_small_file(path.string(), text) && read_stream_file(text, found) && path.stem() == found.stream &&
           is_running(found.process);
}

} // namespace

bool read_stream_file(std::string_view text, FoundStream &found) {
    found = {};
    std::string process;
    const bool well_formed = read_settings(text, [&](std::string_view key, std::string_view value, bool quoted) {
        if (key == "pid" && !quoted) {
            process = value;
        } else if (key == "stream" && quoted) {
            found.stream = value;
        } else if (key == "frames" && quoted) {
            found.frames = value;
        } else if (key == "control" && quoted) {
            found.control = value;
        } else if (key == "server_key" && quoted) {
            found.server_key = value;
        }
    });
    Rejection why;
    return well_formed && is_number(process, found.process) && found.process != 0 && is_stream_name(found.stream) &&
           check_endpoint(found.frames, why) && (found.control.empty() || check_endpoint(found.control, why));
}

std::string stream_folder() {
#if defined(_WIN32)
    const char *const local = std::getenv("LOCALAPPDATA");
    return local == nullptr ? std::string() : std::string(local) + "\\bunraku\\run";
#else
    const char *const runtime = std::getenv("XDG_RUNTIME_DIR");
    const std::string folder = runtime != nullptr && runtime[0] != '\0' ? std::string(runtime) + "/bunraku"
                                                                        : "/tmp/bunraku-" + std::to_string(geteuid());
    return is_private(folder) ? folder : std::string();
#endif
}

bool find_stream(const std::string &folder, const std::string &wanted_stream, FoundStream &found) {
    if (folder.empty()) {
        return false;
    }
    namespace fs = std::filesystem;
    if (!wanted_stream.empty()) {
        return read_live_stream(fs::path(folder) / (wanted_stream + std::string(SUFFIX)), found);
    }
    std::vector<fs::path> paths;
    std::error_code error;
    for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
        if (at->path().extension() == SUFFIX) {
            paths.push_back(at->path());
        }
    }
    std::sort(paths.begin(), paths.end());
    return std::any_of(paths.begin(), paths.end(), [&](const fs::path &path) { return read_live_stream(path, found); });
}

} // namespace bunraku
