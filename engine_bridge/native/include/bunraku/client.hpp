// The C ABI of client.h for C++17: what must be closed closes itself. Header only; throws nothing, allocates nothing.
#ifndef BUNRAKU_CLIENT_HPP
#define BUNRAKU_CLIENT_HPP

#include <cstdint>
#include <cstring>
#include <utility>

#include "client.h"

namespace bunraku {

// A leased frame; gives itself back. Must not outlive its client.
class Frame {
public:
    Frame() = default;
    ~Frame() { release(); }
    Frame(const Frame &) = delete;
    Frame &operator=(const Frame &) = delete;
    Frame(Frame &&other) noexcept : client_(std::exchange(other.client_, nullptr)), frame_(other.frame_) {}
    Frame &operator=(Frame &&other) noexcept {
        if (this != &other) {
            release();
            client_ = std::exchange(other.client_, nullptr);
            frame_ = other.frame_;
        }
        return *this;
    }

    // Whether there is one.
    explicit operator bool() const { return client_ != nullptr; }
    const bunraku_frame *operator->() const { return &frame_; }
    const bunraku_frame &operator*() const { return frame_; }

    // Gives it back now; its pixels must not be read any more.
    void release() {
        if (client_ != nullptr) {
            bunraku_release(std::exchange(client_, nullptr), frame_.lease);
        }
    }

private:
    friend class Client;

    bunraku_client *client_ = nullptr;
    bunraku_frame frame_{};
};

// What a client wants now, built up name by name. Names must live until it is sent.
class Controls {
public:
    // Holds a control; says false if there are BUNRAKU_MAX_CONTROLS already.
    bool set(const char *name, float value) {
        for (std::uint32_t i = 0; i < state_.control_count; ++i) {
            if (std::strcmp(controls_[i].name, name) == 0) {
                controls_[i].value = value;
                return true;
            }
        }
        if (state_.control_count == BUNRAKU_MAX_CONTROLS) {
            return false;
        }
        controls_[state_.control_count++] = {name, value, 0};
        return true;
    }
    void set_identity(const char *name) { state_.identity = name; }
    void set_seed(std::int64_t seed) { state_.seed = seed; }
    void set_truncation_psi(float psi) { state_.truncation_psi = psi; }
    void set_expression(const char *name) { state_.expression = name; } // null: leave it; "": fade to none
    void set_calibrate(bool calibrate) { state_.calibrate = calibrate ? 1 : 0; }
    void set_mix(const char *name, float amount) {
        state_.mix_identity = name;
        state_.mix_amount = amount;
    }

    // Valid for as long as this is.
    const bunraku_control_state &state() {
        state_.controls = controls_;
        return state_;
    }

private:
    bunraku_control controls_[BUNRAKU_MAX_CONTROLS]{};
    bunraku_control_state state_ = [] {
        bunraku_control_state empty{};
        empty.struct_size = sizeof empty;
        empty.seed = empty.mix_seed = -1;
        empty.truncation_psi = -1.0f;
        return empty;
    }();
};

// A connection to one producer.
class Client {
public:
    Client() = default;
    ~Client() { close(); }
    Client(const Client &) = delete;
    Client &operator=(const Client &) = delete;
    Client(Client &&other) noexcept : client_(std::exchange(other.client_, nullptr)) {}
    Client &operator=(Client &&other) noexcept {
        if (this != &other) {
            close();
            client_ = std::exchange(other.client_, nullptr);
        }
        return *this;
    }

    // Options with everything as it usually is.
    static bunraku_options options() {
        bunraku_options usual{};
        usual.struct_size = sizeof usual;
        return usual;
    }

    // Starts receiving; says false, and why in why(), if the options make no sense.
    bool open(const bunraku_options &options) {
        close();
        return bunraku_open(&options, &client_, why_, sizeof why_) == BUNRAKU_OK;
    }
    void close() { bunraku_close(std::exchange(client_, nullptr)); }

    const char *why() const { return why_; }
    bunraku_client *get() const { return client_; }

    // The newest frame, if there is one that was not taken before.
    Frame acquire() {
        Frame frame;
        frame.frame_.struct_size = sizeof frame.frame_;
        if (bunraku_acquire(client_, &frame.frame_) == BUNRAKU_NEW_FRAME) {
            frame.client_ = client_;
        }
        return frame;
    }

    bunraku_status status() const {
        bunraku_status status{};
        status.struct_size = sizeof status;
        bunraku_get_status(client_, &status);
        return status;
    }

    // Says false until the producer has welcomed this client.
    bool info(bunraku_info &info) const {
        info = {};
        info.struct_size = sizeof info;
        return bunraku_get_info(client_, &info) == BUNRAKU_OK;
    }

    // Gives a bunraku_result.
    std::int32_t send(Controls &controls, std::uint64_t *control_id = nullptr) {
        return bunraku_send_control(client_, &controls.state(), control_id);
    }

private:
    bunraku_client *client_ = nullptr;
    char why_[512] = "";
};

} // namespace bunraku

#endif // BUNRAKU_CLIENT_HPP
