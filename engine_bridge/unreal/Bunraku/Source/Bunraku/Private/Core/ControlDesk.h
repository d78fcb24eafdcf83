// What a game wants of its character, kept as one absolute state. Plain C++17: knows no Unreal types.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bunraku/client.h"

namespace bunraku::core {

/*
 * Collects changes during a tick and turns them into a bunraku_control_state once, and only if something is different
 * from what was sent before. A setter answers false, and changes nothing, for what the wire would refuse.
 */
class ControlDesk {
public:
    // A finite number under a name of 1 to 63 bytes; at most 256 of them.
    bool set(std::string_view name, float value);

    // Let go of a control: it goes back to the character's own life.
    void release(std::string_view name);
    void release_all();

    bool set_identity(std::string_view name);
    bool set_seed(std::int64_t seed);

    // A second identity and how much of it, 0 to 1.
    bool mix_identity(std::string_view name, float amount);
    bool mix_seed(std::int64_t seed, float amount);
    void unmix();

    // 0 to 1.
    bool set_truncation(float psi);

    // The empty name fades to none.
    bool set_expression(std::string_view name);
    // Say nothing about the expression from now on.
    void leave_expression();

    // An event: part of the next state, and of no later one.
    void calibrate();

    // The whole state must be told again, for example to a client that was opened anew.
    void repeat();

    bool changed() const { return changed_; }

    /*
     * Hand the state to `send` if it changed. The struct and its strings are valid during the call only.
     * Returns what `send` returned, 0 if there was nothing to send. A state that could not be sent is not tried again
     * until something changes, so a lasting fault does not repeat on every tick; a calibration waits for the next one.
     */
    std::int32_t flush(const std::function<std::int32_t(const bunraku_control_state&)>& send);

private:
    struct Person {
        std::string name;
        std::int64_t seed = -1;

        friend bool operator==(const Person& a, const Person& b) { return a.name == b.name && a.seed == b.seed; }
        friend bool operator!=(const Person& a, const Person& b) { return !(a == b); }
    };

    template <class T>
    void assign(T& held, T wanted);

    std::map<std::string, float, std::less<>> controls_;
    std::optional<Person> identity_;
    std::optional<Person> mix_;
    float mix_amount_ = 0.0f;
    float truncation_psi_ = -1.0f;
    std::optional<std::string> expression_;
    bool calibrate_ = false;
    bool changed_ = false;
    bool ever_sent_ = false;
    std::vector<bunraku_control> buffer_;
};

}  // namespace bunraku::core
