#include "sockets.h"

#include <chrono>
#include <cstdio>
#include <cstring>

namespace bunraku {
namespace {

constexpr int HANDSHAKE_MS = 10'000; // a suspended producer answers when it wakes; asking again only fills its backlog
constexpr int CONNECT_MS = 2500;     // a flooded producer lets nobody in; the kernel would ask ever more seldom
constexpr int KEEPALIVE_IDLE_S = 3; // after which the kernel asks a silent producer's kernel, this often:
constexpr int KEEPALIVE_INTERVAL_S = 1;
constexpr int KEEPALIVE_PROBES = 3;
constexpr int HANDSHAKE_EVENTS = ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
                                 ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH |
                                 ZMQ_EVENT_CONNECTED | ZMQ_EVENT_DISCONNECTED; // these two for HeldBytes

} // namespace

void StopSignal::stop() {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopped_ = true;
    changed_.notify_all();
}

bool StopSignal::stopped() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return stopped_;
}

void StopSignal::rest(std::int64_t milliseconds) const {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait_for(lock, std::chrono::milliseconds(milliseconds), [this] { return stopped_; });
}

Message::Message() {
    for (zmq_msg_t &part : parts_) {
        zmq_msg_init(&part);
    }
}

Message::~Message() {
    for (zmq_msg_t &part : parts_) {
        zmq_msg_close(&part);
    }
}

void Message::clear() {
    for (std::size_t i = 0; i < count_; ++i) {
        zmq_msg_close(&parts_[i]);
        zmq_msg_init(&parts_[i]);
    }
    count_ = 0;
}

Received Message::receive(void *socket) {
    clear();
    total_ = 0;
    bool more = true;
    while (more) {
        // A part above those kept replaces the one before it.
        const std::size_t place = count_ < KEPT ? count_ : KEPT - 1;
        if (zmq_msg_recv(&parts_[place], socket, ZMQ_DONTWAIT) < 0) {
            const int error = zmq_errno();
            if (error == EINTR) {
                continue;
            }
            return error == EAGAIN ? Received::nothing : Received::stopped;
        }
        count_ = place + 1;
        total_ += zmq_msg_size(&parts_[place]);
        more = zmq_msg_more(&parts_[place]) != 0;
    }
    for (std::size_t i = 0; i < count_; ++i) {
        bytes_[i] = {static_cast<const std::uint8_t *>(zmq_msg_data(&parts_[i])), zmq_msg_size(&parts_[i])};
    }
    return Received::message;
}

bool Socket::open(void *context, int kind, int queue, std::int64_t max_bytes, const std::string &endpoint,
                  const CurveKeys &keys) {
    close();
    socket_ = zmq_socket(context, kind);
    if (socket_ == nullptr) {
        error_ = zmq_strerror(zmq_errno());
        return false;
    }
    const bool ipv6 = endpoint.compare(0, 7, "tcp://[") == 0;
    // No ZMTP heartbeats, and a receiving queue without a limit: libzmq 4.3.5 aborts the process when it writes a PING
    // or a PONG to a peer that was reset while a full queue held up reading. The owner drains the socket all the time.
    const bool ready = set(ZMQ_LINGER, 0) && set(ZMQ_SNDHWM, queue) && set(ZMQ_RCVHWM, 0) &&
                       zmq_setsockopt(socket_, ZMQ_MAXMSGSIZE, &max_bytes, sizeof max_bytes) == 0 &&
                       set(ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS) && set(ZMQ_CONNECT_TIMEOUT, CONNECT_MS) && set(ZMQ_TCP_KEEPALIVE, 1) &&
                       set(ZMQ_TCP_KEEPALIVE_IDLE, KEEPALIVE_IDLE_S) &&
                       set(ZMQ_TCP_KEEPALIVE_INTVL, KEEPALIVE_INTERVAL_S) &&
                       set(ZMQ_TCP_KEEPALIVE_CNT, KEEPALIVE_PROBES) && set(ZMQ_RECONNECT_IVL, 100) &&
                       set(ZMQ_RECONNECT_IVL_MAX, 1000) && set(ZMQ_IPV6, ipv6 ? 1 : 0) &&
                       // Queue nothing for a producer that is not there: it would only grow old.
                       (kind != ZMQ_DEALER || set(ZMQ_IMMEDIATE, 1)) && set_keys(keys) && open_monitor(context) &&
                       zmq_connect(socket_, endpoint.c_str()) == 0;
    if (!ready) {
        error_ = zmq_strerror(zmq_errno());
        close();
    }
    return ready;
}

void Socket::close() {
    if (monitor_ != nullptr) {
        // First the telling, then the listening: libzmq's own thread would wait for ever to tell nobody.
        zmq_socket_monitor(socket_, nullptr, 0);
        zmq_close(monitor_);
        monitor_ = nullptr;
    }
    if (socket_ != nullptr) {
        zmq_close(socket_);
        socket_ = nullptr;
    }
}

bool Socket::set_keys(const CurveKeys &keys) {
    const auto set_key = [this](int option, const std::string &key) {
        return zmq_setsockopt(socket_, option, key.c_str(), key.size() + 1) == 0;
    };
    return !keys.present() ||
           (set_key(ZMQ_CURVE_SERVERKEY, keys.server) && set_key(ZMQ_CURVE_PUBLICKEY, keys.own_public) &&
            set_key(ZMQ_CURVE_SECRETKEY, keys.own_secret));
}

bool Socket::open_monitor(void *context) {
    char address[48];
    std::snprintf(address, sizeof address, "inproc://monitor-%p", socket_);
    if (zmq_socket_monitor(socket_, address, HANDSHAKE_EVENTS) != 0) {
        return false;
    }
    monitor_ = zmq_socket(context, ZMQ_PAIR);
    const int linger = 0;
    return monitor_ != nullptr && zmq_setsockopt(monitor_, ZMQ_LINGER, &linger, sizeof linger) == 0 &&
           zmq_connect(monitor_, address) == 0;
}

Received Socket::next_event(HandshakeEvent &event) {
    Message message;
    const Received received = message.receive(monitor_);
    std::uint16_t number = 0;
    std::uint32_t value = 0;
    if (received != Received::message) {
        return received;
    }
    if (message.parts()[0].size >= sizeof number + sizeof value) {
        std::memcpy(&number, message.parts()[0].data, sizeof number);
        std::memcpy(&value, message.parts()[0].data + sizeof number, sizeof value);
    }
    event = {number, static_cast<int>(value)};
    return received;
}

} // namespace bunraku
