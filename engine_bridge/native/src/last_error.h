// The last thing that went wrong, on whichever channel, for people.
#pragma once

#include <mutex>
#include <string_view>

#include "bunraku/client.h"
#include "text.h"

namespace bunraku {

class LastError {
public:
    void note(std::string_view code, std::string_view text) {
        const std::lock_guard<std::mutex> lock(mutex_);
        copy_text(code, code_);
        copy_text(text, text_);
    }

    void fill(bunraku_status &status) const {
        const std::lock_guard<std::mutex> lock(mutex_);
        copy_text(code_, status.last_error_code);
        copy_text(text_, status.last_error);
    }

private:
    mutable std::mutex mutex_;
    char code_[sizeof bunraku_status::last_error_code] = "";
    char text_[sizeof bunraku_status::last_error] = "";
};

} // namespace bunraku
