// The verbs of the C ABI. Their meaning is in bunraku/wanted.hpp; this adds the lock.
#include "wanted.h"

#include <new>

namespace {

template <typename Verb> int32_t change(bunraku_wanted *wanted, const Verb &verb) {
    if (wanted == nullptr) {
        return BUNRAKU_BAD_ARGUMENT;
    }
    const std::lock_guard<std::mutex> lock(wanted->mutex);
    return verb(wanted->state);
}

} // namespace

using bunraku::Wanted;

bunraku_wanted *bunraku_wanted_new(void) { return new (std::nothrow) bunraku_wanted; }

void bunraku_wanted_free(bunraku_wanted *wanted) { delete wanted; }

int32_t bunraku_wanted_hold(bunraku_wanted *wanted, const char *control, float value) {
    return change(wanted, [&](Wanted &state) { return state.hold(control, value); });
}

int32_t bunraku_wanted_release(bunraku_wanted *wanted, const char *control) {
    return change(wanted, [&](Wanted &state) { return state.release(control); });
}

int32_t bunraku_wanted_release_all(bunraku_wanted *wanted) {
    return change(wanted, [](Wanted &state) { return state.release_all(); });
}

int32_t bunraku_wanted_become(bunraku_wanted *wanted, const char *identity) {
    return change(wanted, [&](Wanted &state) { return state.become(identity); });
}

int32_t bunraku_wanted_become_seed(bunraku_wanted *wanted, int64_t seed) {
    return change(wanted, [&](Wanted &state) { return state.become_seed(seed); });
}

int32_t bunraku_wanted_leave_identity(bunraku_wanted *wanted) {
    return change(wanted, [](Wanted &state) { return state.leave_identity(); });
}

int32_t bunraku_wanted_mix(bunraku_wanted *wanted, const char *identity, float amount) {
    return change(wanted, [&](Wanted &state) { return state.mix(identity, amount); });
}

int32_t bunraku_wanted_mix_seed(bunraku_wanted *wanted, int64_t seed, float amount) {
    return change(wanted, [&](Wanted &state) { return state.mix_seed(seed, amount); });
}

int32_t bunraku_wanted_end_mix(bunraku_wanted *wanted) {
    return change(wanted, [](Wanted &state) { return state.end_mix(); });
}

int32_t bunraku_wanted_truncate(bunraku_wanted *wanted, float psi) {
    return change(wanted, [&](Wanted &state) { return state.truncate(psi); });
}

int32_t bunraku_wanted_leave_truncation(bunraku_wanted *wanted) {
    return change(wanted, [](Wanted &state) { return state.leave_truncation(); });
}

int32_t bunraku_wanted_express(bunraku_wanted *wanted, const char *expression) {
    return change(wanted, [&](Wanted &state) { return state.express(expression); });
}

int32_t bunraku_wanted_leave_expression(bunraku_wanted *wanted) {
    return change(wanted, [](Wanted &state) { return state.leave_expression(); });
}

int32_t bunraku_wanted_calibrate(bunraku_wanted *wanted) {
    return change(wanted, [](Wanted &state) { return state.calibrate(); });
}

int32_t bunraku_wanted_repeat(bunraku_wanted *wanted) {
    return change(wanted, [](Wanted &state) {
        state.repeat();
        return static_cast<std::int32_t>(BUNRAKU_OK);
    });
}
