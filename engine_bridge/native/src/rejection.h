// Why a message was not taken: a code of docs/protocol.md and a sentence for people. Fixed size, so that saying no
// costs no memory.
#pragma once

#include <cstdarg>
#include <cstdio>

namespace bunraku {

struct Rejection {
    const char *code = ""; // static text
    char text[256] = "";

    // Notes the reason and returns false, so that a check can end with `return why.because(...)`.
#if defined(__GNUC__)
    __attribute__((format(printf, 3, 4)))
#endif
    bool
    because(const char *reason, const char *format, ...) {
        code = reason;
        va_list arguments;
        va_start(arguments, format);
        std::vsnprintf(text, sizeof text, format, arguments);
        va_end(arguments);
        return false;
    }
};

} // namespace bunraku
