// The thread that receives frames all the time and leaves the newest one in the box. Twin of
// engine_bridge/client/subscriber.py.
#pragma once

#include <string>
#include <thread>
#include <vector>

#include "box.h"
#include "control_link.h"
#include "frame_channel.h"
#include "handshake.h"
#include "held_bytes.h"
#include "liveness.h"
#include "pixels.h"
#include "planes.h"
#include "sockets.h"

namespace bunraku {

class Receiver {
public:
    struct Options {
        std::string endpoint; // empty: found by name on this host
        std::string stream;   // empty: the first one heard
        std::uint32_t encodings = 0;
        WantedLayout wanted;
        CurveKeys keys;
        bool takes_told_control_endpoint = false;
    };

    // control: null without a control channel.
    Receiver(void *context, Options options, FrameChannel &channel, FrameBox &box, ControlLink *control);

    void start();
    void stop() { stop_.stop(); }
    void join();

private:
    void run();
    std::int64_t connect_and_receive();
    bool locate();
    bool has_moved();
    std::int64_t receive(Socket &socket);
    std::int64_t drain(Socket &socket);
    void note_heartbeat(Socket &socket, const Header &header);
    void deliver(Message &message, const Topic &topic, const Header &header);
    void look_after_silence(Socket &socket, bool may_probe);
    std::uint32_t best_encoding(const Header &heartbeat);
    bool can_open_ring(const Header &heartbeat);
    void change_encoding(Socket &socket, std::uint32_t encoding);
    void leave_old_topics(Socket &socket, const Topic &heard);
    std::string topic_of(std::uint32_t encoding) const;
    std::int64_t judge_handshakes(Socket &socket);
    void tell_control_endpoint(std::string_view told);

    void *const context_;
    const Options options_;
    FrameChannel &channel_;
    FrameBox &box_;
    ControlLink *const control_;
    StopSignal stop_;
    std::thread thread_;

    // The thread's own.
    std::string endpoint_;
    HandshakeJudge judge_;
    Patience patience_;
    HeldBytes held_;
    std::int64_t next_look_ns_ = 0;   // for the stream's file
    bool probing_ = false;            // whether topics of all major versions are subscribed
    std::uint32_t encoding_ = 0;      // decided on
    std::vector<std::string> topics_; // subscribed; the last one is that of the encoding
    std::uint64_t session_ = 0;       // last heard
    std::string bad_ring_;            // that could not be used
    Message messages_[2];
    Message *incoming_ = &messages_[0];
    Message *newest_ = &messages_[1]; // of this round
    PlaneDecoder decoder_;
};

} // namespace bunraku
