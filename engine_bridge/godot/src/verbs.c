#include "verbs.h"

#include <bunraku/client.h>

#include "native_receiver.h"

/* What is refused has changed nothing; the game goes on. */
static void check(int32_t result) {
    if (result < 0) {
        report_error(bunraku_result_text(result));
    }
}

static void hold(receiver *self, const value *arguments, value *returned) {
    (void)returned;
    check(bunraku_wanted_hold(native_receiver_wanted(self), arguments[0].text, (float)arguments[1].real));
}

static void release(receiver *self, const value *arguments, value *returned) {
    (void)returned;
    check(bunraku_wanted_release(native_receiver_wanted(self), arguments[0].text));
}

static void release_all(receiver *self, const value *arguments, value *returned) {
    (void)arguments;
    (void)returned;
    check(bunraku_wanted_release_all(native_receiver_wanted(self)));
}

/* The empty name leaves the identity as it is. */
static void become(receiver *self, const value *arguments, value *returned) {
    (void)returned;
    bunraku_wanted *wanted = native_receiver_wanted(self);
    bool is_named = arguments[0].text[0] != '\0';
    check(is_named ? bunraku_wanted_become(wanted, arguments[0].text) : bunraku_wanted_leave_identity(wanted));
}

/* A seed below 0 leaves the identity as it is. */
static void become_seed(receiver *self, const value *arguments, value *returned) {
    (void)returned;
    bunraku_wanted *wanted = native_receiver_wanted(self);
    int64_t seed = arguments[0].integer;
    check(seed >= 0 ? bunraku_wanted_become_seed(wanted, seed) : bunraku_wanted_leave_identity(wanted));
}

static void mix(receiver *self, const value *arguments, value *returned) {
    (void)returned;
    check(bunraku_wanted_mix(native_receiver_wanted(self), arguments[0].text, (float)arguments[1].real));
}

static void mix_seed(receiver *self, const value *arguments, value *returned) {
    (void)returned;
    check(bunraku_wanted_mix_seed(native_receiver_wanted(self), arguments[0].integer, (float)arguments[1].real));
}

static void end_mix(receiver *self, const value *arguments, value *returned) {
    (void)arguments;
    (void)returned;
    check(bunraku_wanted_end_mix(native_receiver_wanted(self)));
}

static void truncate(receiver *self, const value *arguments, value *returned) {
    (void)returned;
    check(bunraku_wanted_truncate(native_receiver_wanted(self), (float)arguments[0].real));
}

static void express(receiver *self, const value *arguments, value *returned) {
    (void)returned;
    check(bunraku_wanted_express(native_receiver_wanted(self), arguments[0].text));
}

static void calibrate(receiver *self, const value *arguments, value *returned) {
    (void)arguments;
    (void)returned;
    check(bunraku_wanted_calibrate(native_receiver_wanted(self)));
}

method verbs[] = {
    {"hold", hold, NOTHING, 2, {TEXT, REAL}, {"control", "value"}},
    {"release", release, NOTHING, 1, {TEXT}, {"control"}},
    {"release_all", release_all, NOTHING, 0, {NOTHING}, {NULL}},
    {"become", become, NOTHING, 1, {TEXT}, {"identity"}},
    {"become_seed", become_seed, NOTHING, 1, {INTEGER}, {"seed"}},
    {"mix", mix, NOTHING, 2, {TEXT, REAL}, {"identity", "amount"}},
    {"mix_seed", mix_seed, NOTHING, 2, {INTEGER, REAL}, {"seed", "amount"}},
    {"end_mix", end_mix, NOTHING, 0, {NOTHING}, {NULL}},
    {"truncate", truncate, NOTHING, 1, {REAL}, {"psi"}},
    {"express", express, NOTHING, 1, {TEXT}, {"expression"}},
    {"calibrate", calibrate, NOTHING, 0, {NOTHING}, {NULL}},
};

const size_t verb_count = sizeof verbs / sizeof *verbs;
