#include "FrameUploads.h"

#include <algorithm>
#include <utility>

namespace bunraku::core {

Upload::Upload(std::shared_ptr<UploadsInFlight> flight, unsigned slot, const bunraku_frame& frame)
    : flight_(std::move(flight)), frame_(frame), slot_(slot) {}

Upload::~Upload() {
    finish();
}

void Upload::finish() {
    if (finished_.exchange(true)) {
        return;
    }
    flight_->client->release(frame_.lease);
    // After the release: whoever finds the texture free can count on the lease being free too.
    flight_->busy[slot_].store(false, std::memory_order_release);
    flight_.reset();
}

FrameUploads::FrameUploads(std::shared_ptr<Client> client, unsigned textures)
    : flight_(std::make_shared<UploadsInFlight>()), textures_(std::clamp(textures, 1u, kMaxTextures)) {
    flight_->client = std::move(client);
}

std::shared_ptr<Upload> FrameUploads::next() {
    const int slot = free_slot();
    if (slot < 0) {
        ++deferred_;
        return nullptr;
    }
    bunraku_frame frame;
    if (flight_->client->acquire(frame) != BUNRAKU_NEW_FRAME) {
        return nullptr;
    }
    flight_->busy[static_cast<unsigned>(slot)].store(true, std::memory_order_relaxed);
    shown_ = slot;
    return std::make_shared<Upload>(flight_, static_cast<unsigned>(slot), frame);
}

unsigned FrameUploads::in_flight() const {
    return static_cast<unsigned>(std::count_if(flight_->busy.begin(), flight_->busy.end(),
                                               [](const std::atomic<bool>& busy) { return busy.load(); }));
}

int FrameUploads::free_slot() const {
    const int count = static_cast<int>(textures_);
    const int others = count == 1 ? 1 : count - 1;
    for (int step = 1; step <= others; ++step) {
        const int slot = (shown_ + step) % count;
        if (!flight_->busy[static_cast<unsigned>(slot)].load(std::memory_order_acquire)) {
            return slot;
        }
    }
    return -1;
}

}  // namespace bunraku::core
