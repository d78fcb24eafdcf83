// The box that holds the newest frame: the receiver thread fills it, anybody takes from it, nobody waits for long.
//
// Six slots: the newest frame, the one being filled, three that callers hold, and one that a render thread holds
// (unity_texture.cpp). A lock guards indices only; pixels are never copied or freed under it.
#pragma once

#include <zmq.h>

#include <cstddef>
#include <cstdint>
#include <mutex>

#include "buffer.h"
#include "bunraku/client.h"
#include "statistics.h"

namespace bunraku {

// What is known about the picture in a slot.
struct FrameRecord {
    std::uint32_t width = 0;
    std::uint32_t height = 0;
    std::uint32_t encoding = 0; // a bunraku_encoding
    std::uint64_t id = 0;
    std::uint64_t session = 0;
    std::int64_t capture_ns = 0;
    std::int64_t render_start_ns = 0;
    std::int64_t publish_ns = 0;
    std::int64_t received_ns = 0;
    std::int64_t clock_correction_ns = 0; // added to now - publish_ns
    std::uint64_t control_id = 0;
    std::int64_t control_timestamp_ns = 0;
    char stream[BUNRAKU_NAME_BYTES] = "";
    char provider[BUNRAKU_NAME_BYTES] = "";
};

class FrameBox {
public:
    // A place for one frame. Its pixels lie either in a buffer of its own or in the message that brought them.
    class Slot {
    public:
        FrameRecord record;

        Slot() { zmq_msg_init(&message_); }
        ~Slot() { zmq_msg_close(&message_); }
        Slot(const Slot &) = delete;
        Slot &operator=(const Slot &) = delete;

        // Room for that many bytes, or null if there is no memory.
        std::uint8_t *own_pixels(std::size_t bytes) {
            pixels_ = buffer_.reserve(bytes) ? buffer_.data() : nullptr;
            return buffer_.data();
        }

        // Takes the message over; its bytes are the pixels.
        void adopt(zmq_msg_t &message) {
            zmq_msg_move(&message_, &message);
            pixels_ = static_cast<const std::uint8_t *>(zmq_msg_data(&message_));
        }

        void drop_message() {
            zmq_msg_close(&message_);
            zmq_msg_init(&message_);
        }

        const std::uint8_t *pixels() const { return pixels_; }

    private:
        friend class FrameBox;

        zmq_msg_t message_;
        Buffer buffer_;
        const std::uint8_t *pixels_ = nullptr;
        std::uint32_t leases_ = 0;
        bool taken_ = false; // by acquire()
    };

    // For the receiver thread: a free slot, and its contents made the newest. publish() says whether that overtook a
    // frame that nobody had taken.
    Slot &slot_to_fill();
    bool publish(Slot &slot);

    // As bunraku_acquire and bunraku_release.
    std::int32_t acquire(bunraku_frame &frame, std::uint32_t pixel_format);
    std::int32_t release(std::uint32_t lease);

    // The newest frame, taken or not, for one holder at a time; null if there is none or another one is held. Must be
    // given back.
    const Slot *hold_newest();
    void give_back(const Slot &slot);

    std::uint64_t shown() const;
    Percentiles ages_at_take() const;

    // Of frames taken since the last call.
    Percentiles ages_since_last_asked();

private:
    static constexpr std::size_t SLOTS = 3 + BUNRAKU_MAX_LEASES;
    static constexpr std::size_t NONE = SLOTS;

    struct Lease {
        std::size_t slot = NONE;
        std::uint32_t generation = 1;
    };

    mutable std::mutex mutex_;
    Slot slots_[SLOTS];
    std::size_t newest_ = NONE;
    std::size_t filling_ = NONE;
    Lease leases_[BUNRAKU_MAX_LEASES];
    bool held_ = false;
    std::uint64_t shown_ = 0;
    Durations ages_at_take_;
    Durations ages_since_asked_;
};

} // namespace bunraku
