// ZeroMQ sockets as this protocol wants them: newest first, nothing lingering, dead peers noticed, refusals heard.
// Knows nothing of what is in a message.
#pragma once

#include <zmq.h>

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>

#include "header.h"

namespace bunraku {

constexpr int FRAME_QUEUE = 2; // messages that may wait to be sent
constexpr int CONTROL_QUEUE = 8;
constexpr std::int64_t MAX_CONTROL_BYTES = 1024 * 1024;
constexpr long LOOK_AROUND_MS = 250;
constexpr int MOST_FRAMES_WAITING = 4096; // messages; more at once is a flood, or a minute that nobody read
constexpr int MOST_ANSWERS_WAITING = 1024; // the same of a producer's answers

struct CurveKeys {
    std::string server, own_public, own_secret; // Z85; all empty without encryption

    bool present() const { return !server.empty(); }
};

// A request to stop that ends waits.
class StopSignal {
public:
    void stop();
    bool stopped() const;
    void rest(std::int64_t milliseconds) const; // no longer than until stop()

private:
    mutable std::mutex mutex_;
    mutable std::condition_variable changed_;
    bool stopped_ = false;
};

enum class Received { message, nothing, stopped };

// One message; its parts stay until the next one is received into it.
class Message {
public:
    Message();
    ~Message();
    Message(const Message &) = delete;
    Message &operator=(const Message &) = delete;

    // Takes one waiting message. Of one with too many parts, one above MAX_PARTS is kept to tell.
    Received receive(void *socket);

    const Bytes *parts() const { return bytes_; }
    std::size_t bytes() const { return total_; } // of all parts, those that were not kept included
    std::size_t count() const { return count_; }
    zmq_msg_t &part(std::size_t index) { return parts_[index]; }

private:
    void clear();

    static constexpr std::size_t KEPT = MAX_PARTS + 1;

    zmq_msg_t parts_[KEPT];
    Bytes bytes_[KEPT];
    std::size_t count_ = 0;
    std::size_t total_ = 0;
};

// What became of a handshake: libzmq's event, and the value that tells more.
struct HandshakeEvent {
    int number = 0;
    int value = 0;
};

// A socket with its monitor, for one thread: opened, used and closed there.
class Socket {
public:
    Socket() = default;
    ~Socket() { close(); }
    Socket(const Socket &) = delete;
    Socket &operator=(const Socket &) = delete;

    // Connects now or whenever the other side appears. Says false if that cannot be had (also: while stopping), and why
    // in error().
    bool open(void *context, int kind, int queue, std::int64_t max_bytes, const std::string &endpoint,
              const CurveKeys &keys);
    void close();

    const char *error() const { return error_; }
    void *raw() const { return socket_; }
    void *monitor() const { return monitor_; }

    // Whether a whole message waits. While one does, it is not known how much libzmq holds of one that is unfinished.
    bool has_message() const {
        int events = 0;
        std::size_t size = sizeof events;
        return zmq_getsockopt(socket_, ZMQ_EVENTS, &events, &size) == 0 && (events & ZMQ_POLLIN) != 0;
    }

    bool subscribe(const std::string &topic) {
        return zmq_setsockopt(socket_, ZMQ_SUBSCRIBE, topic.data(), topic.size()) == 0;
    }
    bool unsubscribe(const std::string &topic) {
        return zmq_setsockopt(socket_, ZMQ_UNSUBSCRIBE, topic.data(), topic.size()) == 0;
    }

    // The next news of a handshake, if there is any.
    Received next_event(HandshakeEvent &event);

private:
    bool set(int option, int value) { return zmq_setsockopt(socket_, option, &value, sizeof value) == 0; }
    bool set_keys(const CurveKeys &keys);
    bool open_monitor(void *context);

    void *socket_ = nullptr;
    void *monitor_ = nullptr;
    const char *error_ = "";
};

} // namespace bunraku
