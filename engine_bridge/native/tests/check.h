// The little that these tests need of a framework: named tests in groups, and checks that say what they saw.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

namespace check {

struct Test {
    std::string group, name;
    std::function<void()> run;
};

inline std::vector<Test> &tests() {
    static std::vector<Test> all;
    return all;
}

inline int &failures() {
    static int count = 0;
    return count;
}

struct Register {
    Register(const char *group, const char *name, std::function<void()> run) {
        tests().push_back({group, name, std::move(run)});
    }
};

inline void fail(const char *file, int line, const std::string &text) {
    std::fprintf(stderr, "%s:%d: %s\n", file, line, text.c_str());
    ++failures();
}

template <typename Left, typename Right>
void equal(const char *file, int line, const char *what, const Left &left, const Right &right) {
    if (!(left == right)) {
        std::ostringstream text;
        text << what << ": " << left << " is not " << right;
        fail(file, line, text.str());
    }
}

} // namespace check

#define CHECK_JOIN_(a, b) a##b
#define CHECK_JOIN(a, b) CHECK_JOIN_(a, b)

// TEST(group, "what is promised") { ... }
#define TEST(group, name)                                                                                              \
    static void CHECK_JOIN(test_, __LINE__)();                                                                         \
    static const check::Register CHECK_JOIN(register_, __LINE__)(group, name, CHECK_JOIN(test_, __LINE__));            \
    static void CHECK_JOIN(test_, __LINE__)()

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            check::fail(__FILE__, __LINE__, "not so: " #condition);                                                    \
        }                                                                                                              \
    } while (false)

#define CHECK_EQUAL(left, right) check::equal(__FILE__, __LINE__, #left, left, right)

// As CHECK, but what follows makes no sense without it.
#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            check::fail(__FILE__, __LINE__, "not so: " #condition);                                                    \
            return;                                                                                                    \
        }                                                                                                              \
    } while (false)
