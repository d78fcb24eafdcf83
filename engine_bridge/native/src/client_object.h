// What stands behind a bunraku_client: a context, a box and two threads.
#pragma once

#include <zmq.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <stdexcept>

#include "box.h"
#include "bunraku/client.h"
#include "control_link.h"
#include "frame_channel.h"
#include "last_error.h"
#include "receiver.h"

namespace bunraku {

class Context {
public:
    Context() : context_(zmq_ctx_new()) {
        if (context_ == nullptr) {
            throw std::runtime_error("ZeroMQ gives no context");
        }
    }
    ~Context() { zmq_ctx_term(context_); }
    Context(const Context &) = delete;
    Context &operator=(const Context &) = delete;

    void *get() const { return context_; }

private:
    void *context_;
};

} // namespace bunraku

struct bunraku_client {
    // control_endpoint: null takes the one that the producer tells, "" none. Throws if a thread or socket cannot be
    // had.
    bunraku_client(bunraku::Receiver::Options receiver_options, bunraku::ControlLink::Options control_options,
                   const char *control_endpoint);
    ~bunraku_client();

    void fill(bunraku_status &status) const;

    // Calls the reader with what the welcome told; BUNRAKU_NOT_FOUND before it.
    template <typename Reader> std::int32_t with_info(const Reader &reader) const {
        std::int32_t result = BUNRAKU_NOT_FOUND;
        if (control != nullptr) {
            control->read_info([&](const bunraku::StreamInfo &told) { result = reader(told); });
        }
        return result;
    }

    // Sockets are closed by their threads before the context, which is declared first and so goes last.
    bunraku::Context context;
    bunraku::LastError last_error;
    std::shared_ptr<bunraku::FrameBox> box; // shared with a render thread (unity_texture.cpp)
    bunraku::FrameChannel channel;
    std::uint32_t pixel_format;
    std::unique_ptr<bunraku::ControlLink> control; // null without a control channel
    std::unique_ptr<bunraku::Receiver> receiver;
    std::atomic<bool> was_sent_wanted{false}; // a new client is told all that is wanted

private:
    void stop();
    bunraku::ClientStat stat() const;
};
