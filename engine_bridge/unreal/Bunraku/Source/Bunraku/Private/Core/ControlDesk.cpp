#include "ControlDesk.h"

#include <cmath>
#include <utility>

namespace bunraku::core {

namespace {

bool is_name(std::string_view name) {
    return !name.empty() && name.size() < BUNRAKU_NAME_BYTES && name.find('\0') == std::string_view::npos;
}

bool is_share(float amount) {
    return amount >= 0.0f && amount <= 1.0f;  // false for NaN
}

}  // namespace

template <class T>
void ControlDesk::assign(T& held, T wanted) {
    if (held != wanted) {
        held = std::move(wanted);
        changed_ = true;
    }
}

bool ControlDesk::set(std::string_view name, float value) {
    if (!is_name(name) || !std::isfinite(value)) {
        return false;
    }
    const auto found = controls_.find(name);
    if (found != controls_.end()) {
        assign(found->second, value);
        return true;
    }
    if (controls_.size() >= BUNRAKU_MAX_CONTROLS) {
        return false;
    }
    controls_.emplace(name, value);
    changed_ = true;
    return true;
}

void ControlDesk::release(std::string_view name) {
    const auto found = controls_.find(name);
    if (found != controls_.end()) {
        controls_.erase(found);
        changed_ = true;
    }
}

void ControlDesk::release_all() {
    if (!controls_.empty()) {
        controls_.clear();
        changed_ = true;
    }
}

bool ControlDesk::set_identity(std::string_view name) {
    if (!is_name(name)) {
        return false;
    }
    assign(identity_, std::optional<Person>(Person{std::string(name), -1}));
    return true;
}

bool ControlDesk::set_seed(std::int64_t seed) {
    if (seed < 0) {
        return false;
    }
    assign(identity_, std::optional<Person>(Person{{}, seed}));
    return true;
}

bool ControlDesk::mix_identity(std::string_view name, float amount) {
    if (!is_name(name) || !is_share(amount)) {
        return false;
    }
    assign(mix_, std::optional<Person>(Person{std::string(name), -1}));
    assign(mix_amount_, amount);
    return true;
}

bool ControlDesk::mix_seed(std::int64_t seed, float amount) {
    if (seed < 0 || !is_share(amount)) {
        return false;
    }
    assign(mix_, std::optional<Person>(Person{{}, seed}));
    assign(mix_amount_, amount);
    return true;
}

void ControlDesk::unmix() {
    assign(mix_, std::optional<Person>());
}

bool ControlDesk::set_truncation(float psi) {
    if (!is_share(psi)) {
        return false;
    }
    assign(truncation_psi_, psi);
    return true;
}

bool ControlDesk::set_expression(std::string_view name) {
    if (!name.empty() && !is_name(name)) {
        return false;
    }
    assign(expression_, std::optional<std::string>(name));
    return true;
}

void ControlDesk::leave_expression() {
    assign(expression_, std::optional<std::string>());
}

void ControlDesk::calibrate() {
    calibrate_ = true;
    changed_ = true;
}

void ControlDesk::repeat() {
    changed_ |= ever_sent_;
}

std::int32_t ControlDesk::flush(const std::function<std::int32_t(const bunraku_control_state&)>& send) {
    if (!changed_) {
        return BUNRAKU_OK;
    }
    buffer_.clear();
    for (const auto& [name, value] : controls_) {
        buffer_.push_back(bunraku_control{name.c_str(), value, 0});
    }

    bunraku_control_state state{};
    state.struct_size = sizeof state;
    state.control_count = static_cast<std::uint32_t>(buffer_.size());
    state.controls = buffer_.data();
    state.identity = identity_ && !identity_->name.empty() ? identity_->name.c_str() : nullptr;
    state.seed = identity_ ? identity_->seed : -1;
    state.mix_identity = mix_ && !mix_->name.empty() ? mix_->name.c_str() : nullptr;
    state.mix_seed = mix_ ? mix_->seed : -1;
    state.mix_amount = mix_ ? mix_amount_ : 0.0f;
    state.truncation_psi = truncation_psi_;
    state.expression = expression_ ? expression_->c_str() : nullptr;
    state.calibrate = calibrate_ ? 1 : 0;

    const std::int32_t result = send(state);
    changed_ = false;
    if (result >= 0) {
        calibrate_ = false;
        ever_sent_ = true;
    }
    return result;
}

}  // namespace bunraku::core
