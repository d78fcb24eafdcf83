// The C ABI of client.h for C++17: what must be closed closes itself. Header only; throws nothing, allocates nothing.
#ifndef BUNRAKU_CLIENT_HPP
#define BUNRAKU_CLIENT_HPP

#include <cstdint>
#include <utility>

#include "client.h"
#include "wanted.hpp"

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

// A connection to one producer.
class Client {
public:
    Client() = default;
    ~Client() { close(); }
    Client(const Client &) = delete;
    Client &operator=(const Client &) = delete;
    Client(Client &&other) noexcept
        : client_(std::exchange(other.client_, nullptr)), was_sent_wanted_(other.was_sent_wanted_) {}
    Client &operator=(Client &&other) noexcept {
        if (this != &other) {
            close();
            client_ = std::exchange(other.client_, nullptr);
            was_sent_wanted_ = other.was_sent_wanted_;
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
        was_sent_wanted_ = false;
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

    // Sends what is wanted, if it changed or this client was not sent it before. Gives a bunraku_result; control_id is
    // left alone if nothing was sent.
    std::int32_t send(Wanted &wanted, std::uint64_t *control_id = nullptr) {
        if (!std::exchange(was_sent_wanted_, true)) {
            wanted.repeat();
        }
        return wanted.send(
            [&](const bunraku_control_state &state) { return bunraku_send_control(client_, &state, control_id); });
    }

private:
    bunraku_client *client_ = nullptr;
    bool was_sent_wanted_ = false;
    char why_[512] = "";
};

} // namespace bunraku

#endif // BUNRAKU_CLIENT_HPP
