// Runs the tests of the groups named on the command line, or all. Exit code: 0 if all passed.
#include "check.h"

int main(int count, char **arguments) {
    int run = 0;
    int failed = 0;
    for (const check::Test &test : check::tests()) {
        bool wanted = count == 1;
        for (int i = 1; i < count; ++i) {
            wanted |= test.group == arguments[i];
        }
        if (!wanted) {
            continue;
        }
        const int before = check::failures();
        test.run();
        const bool passed = check::failures() == before;
        std::printf("%s  %s: %s\n", passed ? "ok    " : "FAILED", test.group.c_str(), test.name.c_str());
        std::fflush(stdout);
        ++run;
        failed += passed ? 0 : 1;
    }
    std::printf("%d run, %d failed\n", run, failed);
    return run > 0 && failed == 0 ? 0 : 1;
}
