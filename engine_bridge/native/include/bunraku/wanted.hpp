// What a client wants of a character, changed by the verbs of docs/protocol.md and always sent complete. Independent of
// any connection, so it outlives clients. C++17, header only; throws nothing, allocates nothing, 18 KiB. For one thread.
#ifndef BUNRAKU_WANTED_HPP
#define BUNRAKU_WANTED_HPP

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "client.h"

namespace bunraku {

/*
 * Verbs give a bunraku_result and change nothing if it is below 0: BUNRAKU_BAD_ARGUMENT for a null or empty name, a
 * negative seed, or an amount or truncation outside 0 to 1; BUNRAKU_NOT_FINITE for NaN and infinity; BUNRAKU_TOO_LARGE
 * for one control more than BUNRAKU_MAX_CONTROLS, and for a name that is too long: 63 bytes are the most for a control,
 * 320 for an identity or expression. Names are UTF-8 and copied.
 */
class Wanted {
public:
    // Holds a control: degrees for poses and gaze, otherwise 0 to 1; the producer clamps.
    std::int32_t hold(const char *control, float value) {
        if (const std::int32_t bad = check_name(control, BUNRAKU_NAME_BYTES); bad != BUNRAKU_OK) {
            return bad;
        }
        if (!std::isfinite(value)) {
            return BUNRAKU_NOT_FINITE;
        }
        const std::uint32_t place = find(control);
        if (place == BUNRAKU_MAX_CONTROLS) {
            return BUNRAKU_TOO_LARGE;
        }
        if (place == count_) {
            copy(control, controls_[count_++].name);
        } else if (controls_[place].value == value) {
            return BUNRAKU_OK;
        }
        controls_[place].value = value;
        return note_change();
    }

    // Gives a control back to the other drivers. One that is not held changes nothing.
    std::int32_t release(const char *control) {
        if (const std::int32_t bad = check_name(control, BUNRAKU_NAME_BYTES); bad != BUNRAKU_OK) {
            return bad;
        }
        const std::uint32_t place = find(control);
        if (place == count_) {
            return BUNRAKU_OK;
        }
        controls_[place] = controls_[--count_];
        return note_change();
    }

    // Releases all controls; identity, mix, truncation and expression stay.
    std::int32_t release_all() {
        if (count_ == 0) {
            return BUNRAKU_OK;
        }
        count_ = 0;
        return note_change();
    }

    // Becomes an identity by name, or by a seed where the character has a mapping network.
    std::int32_t become(const char *identity) {
        const std::int32_t bad = check_name(identity, CHOSEN_BYTES);
        return bad != BUNRAKU_OK ? bad : assign(who_, Person(identity));
    }
    std::int32_t become_seed(std::int64_t seed) {
        const std::int32_t bad = check_seed(seed);
        return bad != BUNRAKU_OK ? bad : assign(who_, Person(seed));
    }
    // Stops sending an identity; the producer keeps the current one.
    std::int32_t leave_identity() { return assign(who_, Person()); }

    // Mixes a second identity in: 0 is all the first, 1 is all this one.
    std::int32_t mix(const char *identity, float amount) {
        const std::int32_t bad = check_name(identity, CHOSEN_BYTES);
        return bad != BUNRAKU_OK ? bad : mix_person(Person(identity), amount);
    }
    std::int32_t mix_seed(std::int64_t seed, float amount) {
        const std::int32_t bad = check_seed(seed);
        return bad != BUNRAKU_OK ? bad : mix_person(Person(seed), amount);
    }
    // Ends the mix. Sent as an amount of 0, because a producer keeps what is left out.
    std::int32_t end_mix() { return assign(mix_amount_, 0.0f); }

    // Truncation of people drawn from seeds, 0 to 1; less draws more ordinary ones.
    std::int32_t truncate(float psi) {
        const std::int32_t bad = check_share(psi);
        return bad != BUNRAKU_OK ? bad : assign(truncation_psi_, psi);
    }
    std::int32_t leave_truncation() { return assign(truncation_psi_, -1.0f); }

    // Fades to a named expression; the empty name fades to none.
    std::int32_t express(const char *expression) {
        if (expression == nullptr) {
            return BUNRAKU_BAD_ARGUMENT;
        }
        if (!fits(expression, CHOSEN_BYTES)) {
            return BUNRAKU_TOO_LARGE;
        }
        if (has_expression_ && std::strcmp(expression_, expression) == 0) {
            return BUNRAKU_OK;
        }
        copy(expression, expression_);
        has_expression_ = true;
        return note_change();
    }
    std::int32_t leave_expression() { return assign(has_expression_, false); }

    // Takes the present pose of a tracker as the neutral one: an event, sent with the next state only.
    std::int32_t calibrate() {
        calibrate_ = true;
        return note_change();
    }

    // Whether there is something to send.
    bool has_changed() const { return has_changed_; }

    // Lets the next send() send everything, for example to a new client, if a verb ever changed anything.
    void repeat() { has_changed_ = was_changed_; }

    /*
     * Calls `deliver` with the whole state if something changed, and gives its result; BUNRAKU_OK if nothing changed.
     * The state is valid during the call only. One that could not be sent is not tried again before the next change,
     * so a lasting fault does not repeat on every tick; a calibration waits for that change.
     */
    template <typename Send> std::int32_t send(const Send &deliver) {
        if (!has_changed_) {
            return BUNRAKU_OK;
        }
        bunraku_control controls[BUNRAKU_MAX_CONTROLS];
        for (std::uint32_t i = 0; i < count_; ++i) {
            controls[i] = {controls_[i].name, controls_[i].value, 0};
        }
        bunraku_control_state state{};
        state.struct_size = sizeof state;
        state.control_count = count_;
        state.controls = controls;
        state.identity = who_.name_or_null();
        state.seed = who_.seed;
        state.mix_identity = mix_.name_or_null();
        state.mix_seed = mix_.seed;
        state.mix_amount = mix_amount_;
        state.truncation_psi = truncation_psi_;
        state.expression = has_expression_ ? expression_ : nullptr;
        state.calibrate = calibrate_ ? 1 : 0;
        const std::int32_t result = deliver(static_cast<const bunraku_control_state &>(state));
        has_changed_ = false;
        calibrate_ = calibrate_ && result < 0;
        return result;
    }

private:
    // Names of identities and expressions have up to 80 characters of four bytes (docs/character-file.md).
    static constexpr std::size_t CHOSEN_BYTES = 80 * 4 + 1;

    struct Held {
        char name[BUNRAKU_NAME_BYTES];
        float value;
    };

    // An identity by name or by seed, or none.
    struct Person {
        Person() = default;
        explicit Person(const char *given) { copy(given, name); }
        explicit Person(std::int64_t given) : seed(given) {}

        const char *name_or_null() const { return name[0] != '\0' ? name : nullptr; }
        friend bool operator==(const Person &a, const Person &b) {
            return a.seed == b.seed && std::strcmp(a.name, b.name) == 0;
        }

        char name[CHOSEN_BYTES] = "";
        std::int64_t seed = -1;
    };

    // room: in bytes, with the zero at the end.
    static bool fits(const char *name, std::size_t room) { return std::memchr(name, '\0', room) != nullptr; }

    static std::int32_t check_name(const char *name, std::size_t room) {
        if (name == nullptr || name[0] == '\0') {
            return BUNRAKU_BAD_ARGUMENT;
        }
        return fits(name, room) ? BUNRAKU_OK : BUNRAKU_TOO_LARGE;
    }

    static std::int32_t check_seed(std::int64_t seed) { return seed < 0 ? BUNRAKU_BAD_ARGUMENT : BUNRAKU_OK; }

    static std::int32_t check_share(float share) {
        if (!std::isfinite(share)) {
            return BUNRAKU_NOT_FINITE;
        }
        return share >= 0.0f && share <= 1.0f ? BUNRAKU_OK : BUNRAKU_BAD_ARGUMENT;
    }

    static void copy(const char *name, char *out) { std::memcpy(out, name, std::strlen(name) + 1); }

    // Where a control is held; the number of those held if it is not.
    std::uint32_t find(const char *control) const {
        std::uint32_t i = 0;
        while (i < count_ && std::strcmp(controls_[i].name, control) != 0) {
            ++i;
        }
        return i;
    }

    std::int32_t mix_person(const Person &person, float amount) {
        if (const std::int32_t bad = check_share(amount); bad != BUNRAKU_OK) {
            return bad;
        }
        assign(mix_, person);
        return assign(mix_amount_, amount);
    }

    template <typename Value> std::int32_t assign(Value &field, const Value &value) {
        if (field == value) {
            return BUNRAKU_OK;
        }
        field = value;
        return note_change();
    }

    std::int32_t note_change() {
        has_changed_ = was_changed_ = true;
        return BUNRAKU_OK;
    }

    Held controls_[BUNRAKU_MAX_CONTROLS] = {}; // in use: the first count_
    std::uint32_t count_ = 0;
    Person who_;
    Person mix_;
    float mix_amount_ = 0.0f;
    float truncation_psi_ = -1.0f; // below 0: nothing is said
    char expression_[CHOSEN_BYTES] = "";
    bool has_expression_ = false;
    bool calibrate_ = false;
    bool has_changed_ = false;
    bool was_changed_ = false; // ever
};

} // namespace bunraku

#endif // BUNRAKU_WANTED_HPP
