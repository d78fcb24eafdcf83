// Why a message was not taken: a code of docs/protocol.md and a sentence for people. Fixed size, so that saying no
// costs no memory.
#pragma once

#include <cstdarg>
#include <cstdio>

// How the compiler checks formats; mingw-w64 knows two kinds.
#if defined(__MINGW_PRINTF_FORMAT)
#define BUNRAKU_FORMAT(text, first) __attribute__((format(__MINGW_PRINTF_FORMAT, text, first)))
#elif defined(__GNUC__)
#define BUNRAKU_FORMAT(text, first) __attribute__((format(printf, text, first)))
#else
#define BUNRAKU_FORMAT(text, first)
#endif

namespace bunraku {

struct Rejection {
    const char *code = ""; // static text
    char text[256] = "";

    // Notes the reason and returns false, so that a check can end with `return why.because(...)`.
    BUNRAKU_FORMAT(3, 4) bool because(const char *reason, const char *format, ...) {
        code = reason;
        va_list arguments;
        va_start(arguments, format);
        std::vsnprintf(text, sizeof text, format, arguments);
        va_end(arguments);
        return false;
    }
};

} // namespace bunraku
