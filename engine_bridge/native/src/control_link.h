// The client's side of the control channel: a thread that says hello, sends the newest state and keeps in touch. Twin
// of engine_bridge/client/control_client.py.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "bunraku/client.h"
#include "control_wire.h"
#include "handshake.h"
#include "held_bytes.h"
#include "last_error.h"
#include "liveness.h"
#include "sent_states.h"
#include "sockets.h"

namespace bunraku {

// What the producer is told once per second.
struct ClientStat {
    std::uint64_t shown;
    std::uint64_t dropped;
    double age_p50_ms;
    double age_p99_ms;
};

class ControlLink {
public:
    struct Options {
        std::string client_name;
        float wanted_fps = 0.0f;
        CurveKeys keys;
        std::function<ClientStat()> stat; // asked in the link's thread
    };

    ControlLink(void *context, Options options, LastError &last_error);
    ~ControlLink();
    ControlLink(const ControlLink &) = delete;
    ControlLink &operator=(const ControlLink &) = delete;

    // Opens the bell and starts the thread; says false if that cannot be had.
    bool start();

    // Asks the thread to end, which the context's shutdown makes it notice, and waits for that.
    void stop() { stop_.stop(); }
    void join();

    // Where the producer takes controls; until it is known nothing is sent.
    void set_endpoint(const std::string &endpoint);

    // A producer of that session was heard on the frame channel.
    void note_session(std::uint64_t session);

    std::int32_t send(const bunraku_control_state &state, std::uint64_t *control_id);
    void request_last();

    // Calls the reader with what the welcome told; says false if there is no welcome yet.
    template <typename Reader> bool read_info(const Reader &reader) const {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (has_info_) {
            reader(info_);
        }
        return has_info_;
    }

    void fill(bunraku_status &status, std::int64_t now_ns) const;
    SentStates &sent_states() { return sent_states_; }

private:
    // What may wait to be sent, one of a kind; in the order of sending, since a hello makes the producer forget the
    // numbers of earlier states.
    enum Pending { HELLO, STATE, REQUEST_LAST, STAT, PING, MESSAGES };

    void run();
    std::int64_t connect_and_converse();
    std::int64_t converse(Socket &socket, const std::string &endpoint);
    void keep_in_touch();
    void send_pending(Socket &socket);
    void write(Pending kind, Writer &writer, std::int64_t now_ns) const;
    std::int64_t drain(Socket &socket, const std::string &endpoint);
    std::int64_t note_flood(const std::string &endpoint);
    std::int64_t note_rejected(const Rejection &why);
    void note(ServerMessage &message);
    void note_incompatible();
    void greet_again(std::int64_t now_ns);
    void note_connection();
    void repeat(std::int64_t now_ns);
    std::int64_t judge_handshakes(Socket &socket, const std::string &endpoint);
    void number_state(std::int64_t now_ns);
    bool anything_pending() const;
    bool is_incompatible() const;
    void ring();
    void hush();
    std::string wait_for_endpoint();

    void *const context_;
    const Options options_;
    LastError &last_error_;
    StopSignal stop_;
    std::thread thread_;
    SentStates sent_states_;

    std::mutex bell_mutex_;
    void *bell_ = nullptr;  // rung from any thread, under its mutex
    void *alarm_ = nullptr; // heard in the link's thread

    // Shared with the thread.
    mutable std::mutex mutex_;
    std::string endpoint_;
    Liveness liveness_;
    bool has_info_ = false;
    StreamInfo info_;
    PackedState state_;
    PackedState scratch_;
    bool has_state_ = false;
    std::uint64_t last_id_ = 0;
    std::int64_t state_timestamp_ns_ = 0;
    bool pending_[MESSAGES] = {};
    std::uint64_t sent_ = 0;
    std::uint64_t refused_ = 0;
    std::uint64_t bad_ = 0;

    // The thread's own.
    HandshakeJudge judge_;
    Patience patience_;
    std::uint64_t connections_ = 0;
    HeldBytes held_{HELD_BYTES, HELD_BYTES, FORGIVEN_BYTES};
    std::int64_t next_touch_ns_ = 0;
    std::int64_t next_stat_ns_ = 0;
    ClientStat stat_{};
    std::uint8_t packed_[MAX_PACKED_BYTES];
};

} // namespace bunraku
