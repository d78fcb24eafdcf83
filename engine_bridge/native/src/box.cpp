#include "box.h"

#include <cstring>

#include "clock.h"

namespace bunraku {
namespace {

// A lease as the caller sees it: 1 + its index in the low bits, above them how often that lease was given out.
constexpr std::uint32_t INDEX_BITS = 2;
constexpr std::uint32_t INDEX_MASK = (1u << INDEX_BITS) - 1;
static_assert(BUNRAKU_MAX_LEASES <= INDEX_MASK);

std::uint32_t lease_number(std::size_t index, std::uint32_t generation) {
    return generation << INDEX_BITS | static_cast<std::uint32_t>(index + 1);
}

} // namespace

FrameBox::Slot &FrameBox::slot_to_fill() {
    // Slots that are neither newest nor leased are this thread's alone, so messages are freed without the lock.
    bool is_free[SLOTS] = {};
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        for (std::size_t i = 0; i < SLOTS; ++i) {
            is_free[i] = i != newest_ && slots_[i].leases_ == 0;
        }
    }
    filling_ = NONE;
    for (std::size_t i = 0; i < SLOTS; ++i) {
        if (is_free[i]) {
            slots_[i].drop_message();
            filling_ = i;
        }
    }
    return slots_[filling_];
}

bool FrameBox::publish(Slot &slot) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const bool overtook = newest_ != NONE && !slots_[newest_].taken_;
    newest_ = static_cast<std::size_t>(&slot - slots_);
    slot.taken_ = false;
    return overtook;
}

std::int32_t FrameBox::acquire(bunraku_frame &frame, std::uint32_t pixel_format) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (newest_ == NONE || slots_[newest_].taken_) {
        return BUNRAKU_OK;
    }
    std::size_t index = 0;
    while (index < BUNRAKU_MAX_LEASES && leases_[index].slot != NONE) {
        ++index;
    }
    if (index == BUNRAKU_MAX_LEASES) {
        return BUNRAKU_TOO_MANY;
    }
    Slot &slot = slots_[newest_];
    slot.taken_ = true;
    ++slot.leases_;
    leases_[index].slot = newest_;

    const FrameRecord &record = slot.record;
    frame.lease = lease_number(index, leases_[index].generation);
    frame.width = record.width;
    frame.height = record.height;
    frame.stride = 4 * record.width;
    frame.pixel_format = pixel_format;
    frame.encoding = record.encoding;
    frame.byte_count = std::uint64_t{frame.stride} * record.height;
    frame.pixels = slot.pixels();
    frame.frame_id = record.id;
    frame.session = record.session;
    frame.capture_ns = record.capture_ns;
    frame.render_start_ns = record.render_start_ns;
    frame.publish_ns = record.publish_ns;
    frame.received_ns = record.received_ns;
    frame.age_ns = age_ns(now_ns(), record.publish_ns, record.clock_correction_ns);
    frame.control_id = record.control_id;
    frame.control_timestamp_ns = record.control_timestamp_ns;
    std::memcpy(frame.stream, record.stream, sizeof frame.stream);
    std::memcpy(frame.provider, record.provider, sizeof frame.provider);

    ++shown_;
    if (record.publish_ns != 0) {
        ages_at_take_.add(frame.age_ns);
        ages_since_asked_.add(frame.age_ns);
    }
    return BUNRAKU_NEW_FRAME;
}

std::int32_t FrameBox::release(std::uint32_t lease) {
    const std::uint32_t number = lease & INDEX_MASK;
    if (number == 0 || number > BUNRAKU_MAX_LEASES) {
        return BUNRAKU_BAD_ARGUMENT;
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    Lease &held = leases_[number - 1];
    if (held.slot != NONE && lease == lease_number(number - 1, held.generation)) {
        --slots_[held.slot].leases_;
        held.slot = NONE;
        ++held.generation;
    }
    return BUNRAKU_OK;
}

const FrameBox::Slot *FrameBox::hold_newest() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (newest_ == NONE || held_) {
        return nullptr;
    }
    held_ = true;
    ++slots_[newest_].leases_;
    return &slots_[newest_];
}

void FrameBox::give_back(const Slot &slot) {
    const std::lock_guard<std::mutex> lock(mutex_);
    held_ = false;
    --slots_[&slot - slots_].leases_;
}

std::uint64_t FrameBox::shown() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return shown_;
}

Percentiles FrameBox::ages_at_take() const {
    Durations ages;
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        ages = ages_at_take_;
    }
    return ages.percentiles();
}

Percentiles FrameBox::ages_since_last_asked() {
    Durations ages;
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        ages = ages_since_asked_;
        ages_since_asked_.clear();
    }
    return ages.percentiles();
}

} // namespace bunraku
