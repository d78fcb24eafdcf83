// A producer made of plain libzmq sockets on free ports, driven by the test, and the client side's usual steps.
#pragma once

#include <zmq.h>

#include <chrono>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "bunraku/client.h"
#include "check.h"
#include "messages.h"

namespace producer {

using messages::Part;

// Waits until it is so, at most ten seconds.
inline bool eventually(const std::function<bool()> &condition) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (std::chrono::steady_clock::now() < end) {
        if (condition()) {
            return true;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return condition();
}

class Producer {
public:
    explicit Producer(const std::string &frames = "tcp://127.0.0.1:*") {
        frames_ = bound(ZMQ_XPUB, frames, &frames_endpoint);
        control_ = bound(ZMQ_ROUTER, "tcp://127.0.0.1:*", &control_endpoint);
        const int verboser = 1;
        zmq_setsockopt(frames_, ZMQ_XPUB_VERBOSER, &verboser, sizeof verboser);
    }
    ~Producer() {
        zmq_close(frames_);
        zmq_close(control_);
        zmq_ctx_term(context_);
    }
    Producer(const Producer &) = delete;
    Producer &operator=(const Producer &) = delete;

    void send(const std::vector<Part> &parts) { send_on(frames_, parts); }

    // From now on nothing is dropped: sending waits until the client has room.
    void wait_for_slow_clients() {
        const int no_drop = 1;
        zmq_setsockopt(frames_, ZMQ_XPUB_NODROP, &no_drop, sizeof no_drop);
    }

    // Reads what was subscribed to and left; says whether a topic is subscribed to now.
    bool is_subscribed(const std::string &topic) {
        Part event(128);
        for (int size; (size = zmq_recv(frames_, event.data(), event.size(), ZMQ_DONTWAIT)) > 0;) {
            const std::string name(event.begin() + 1, event.begin() + size);
            subscriptions_[name] += event[0] == 1 ? 1 : -1;
        }
        return subscriptions_[topic] > 0;
    }

    bool wait_for_subscriber(const std::string &topic = "avf1/") {
        return eventually([&] { return is_subscribed(topic); });
    }

    // The next control message, with whom it came from; empty if none came in time.
    Part next_control(Part &address, int timeout_ms = 10000) {
        zmq_pollitem_t item = {control_, 0, ZMQ_POLLIN, 0};
        if (zmq_poll(&item, 1, timeout_ms) <= 0) {
            return {};
        }
        address.resize(256);
        address.resize(static_cast<std::size_t>(zmq_recv(control_, address.data(), address.size(), 0)));
        Part message(65536);
        message.resize(static_cast<std::size_t>(zmq_recv(control_, message.data(), message.size(), 0)));
        return message;
    }

    // The next control message of a kind; others are left out.
    Part next_control_of_kind(const std::string &kind, Part &address) {
        for (int i = 0; i < 100; ++i) {
            const Part message = next_control(address);
            if (message.empty() || kind_of(message) == kind) {
                return message;
            }
        }
        return {};
    }

    void answer(const Part &address, const Part &message) { send_on(control_, {address, message}); }

    static std::string kind_of(const Part &message) {
        const bunraku::Map map(message.data(), message.data() + message.size());
        bunraku::Value kind;
        return map.find("k", kind) ? std::string(kind.text()) : std::string();
    }

    std::string frames_endpoint, control_endpoint;

private:
    void *bound(int kind, const std::string &endpoint, std::string *real) {
        void *const socket = zmq_socket(context_, kind);
        const int linger = 0;
        zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger);
        if (zmq_bind(socket, endpoint.c_str()) != 0) {
            check::fail(__FILE__, __LINE__, "cannot bind " + endpoint);
        }
        char name[256];
        std::size_t size = sizeof name;
        zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, name, &size);
        *real = name;
        return socket;
    }

    static void send_on(void *socket, const std::vector<Part> &parts) {
        for (std::size_t i = 0; i < parts.size(); ++i) {
            zmq_send(socket, parts[i].data(), parts[i].size(), i + 1 < parts.size() ? ZMQ_SNDMORE : 0);
        }
    }

    void *context_ = zmq_ctx_new();
    void *frames_ = nullptr;
    void *control_ = nullptr;
    std::map<std::string, int> subscriptions_; // a client that left may be heard of after the next one came
};

// A client of the C ABI that is closed at the end.
class Client {
public:
    explicit Client(const std::string &endpoint, const std::function<void(bunraku_options &)> &change = nullptr) {
        bunraku_options options{};
        options.struct_size = sizeof options;
        options.endpoint = endpoint.c_str();
        if (change) {
            change(options);
        }
        char why[512];
        if (bunraku_open(&options, &client_, why, sizeof why) != BUNRAKU_OK) {
            check::fail(__FILE__, __LINE__, why);
        }
    }
    ~Client() { bunraku_close(client_); }
    Client(const Client &) = delete;
    Client &operator=(const Client &) = delete;

    operator bunraku_client *() const { return client_; }

    bunraku_status status() const {
        bunraku_status status{};
        status.struct_size = sizeof status;
        CHECK_EQUAL(bunraku_get_status(client_, &status), BUNRAKU_OK);
        return status;
    }
    bunraku_state state() const { return static_cast<bunraku_state>(status().state); }

    // The next new frame; the lease is 0 if none came in time.
    bunraku_frame wait() const {
        bunraku_frame frame{};
        frame.struct_size = sizeof frame;
        CHECK(eventually([&] { return bunraku_acquire(client_, &frame) == BUNRAKU_NEW_FRAME; }));
        return frame;
    }

    // Closes now; returns how long that took.
    double close_ms() {
        const std::int64_t before = bunraku_now_ns();
        bunraku_close(client_);
        client_ = nullptr;
        return static_cast<double>(bunraku_now_ns() - before) / 1e6;
    }

private:
    bunraku_client *client_ = nullptr;
};

} // namespace producer
