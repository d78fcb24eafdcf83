// Unity's custom texture update, served from the box of a client. Knows Unity's events by number, and needs no header
// of Unity's.
#include <array>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>

#include "bunraku/unity.h"
#include "client_object.h"

namespace bunraku {
namespace {

// Of IUnityRenderingExtensions.h: kUnityRenderingExtEventUpdateTextureBeginV2 and ...EndV2.
constexpr int UPDATE_TEXTURE_BEGIN = 9;
constexpr int UPDATE_TEXTURE_END = 10;

// UnityRenderingExtTextureUpdateParamsV2 of the same header.
struct TextureUpdate {
    const void *texture_data; // null leaves the texture as it is
    std::intptr_t texture;
    std::uint32_t user_data;
    std::uint32_t format;
    std::uint32_t width;
    std::uint32_t height;
    std::uint32_t bytes_per_pixel;
};
static_assert(offsetof(TextureUpdate, user_data) == 2 * sizeof(void *));

constexpr std::chrono::seconds LONGEST_WAIT{1};

// Handles are 1 + index in the low byte, above it how often that place was given out.
constexpr unsigned INDEX_BITS = 8;
constexpr std::uint32_t INDEX_MASK = (1u << INDEX_BITS) - 1;

struct Registration {
    std::shared_ptr<FrameBox> box;      // null: this place is free
    std::shared_ptr<FrameBox> updating; // keeps the box of a running update, whatever becomes of its client
    const FrameBox::Slot *slot = nullptr;
    std::uint32_t generation = 1;
};

// The library stays loaded while Unity reloads its scripts, so nothing here may depend on being set up once.
class Registry {
public:
    std::uint32_t add(const std::shared_ptr<FrameBox> &box) {
        const std::lock_guard<std::mutex> lock(mutex_);
        for (std::size_t i = 0; i < places_.size(); ++i) {
            if (places_[i].box == nullptr && places_[i].updating == nullptr) {
                places_[i].box = box;
                return places_[i].generation << INDEX_BITS | static_cast<std::uint32_t>(i + 1);
            }
        }
        return 0;
    }

    bool remove(std::uint32_t handle) {
        std::unique_lock<std::mutex> lock(mutex_);
        Registration *const place = find(handle);
        if (place == nullptr) {
            return false;
        }
        place->box.reset();
        ++place->generation;
        ended_.wait_for(lock, LONGEST_WAIT, [&] { return place->updating == nullptr; });
        return true;
    }

    void begin(TextureUpdate &update) {
        update.texture_data = nullptr;
        const std::lock_guard<std::mutex> lock(mutex_);
        Registration *const place = find(update.user_data);
        if (place == nullptr || place->updating != nullptr) {
            return;
        }
        const FrameBox::Slot *const slot = place->box->hold_newest();
        if (slot == nullptr) {
            return;
        }
        const FrameRecord &record = slot->record;
        if (record.width != update.width || record.height != update.height || update.bytes_per_pixel != 4) {
            place->box->give_back(*slot);
            return;
        }
        place->updating = place->box;
        place->slot = slot;
        update.texture_data = slot->pixels();
    }

    void end(const TextureUpdate &update) {
        const std::lock_guard<std::mutex> lock(mutex_);
        // By place alone: the handle may have been given back in the meantime.
        const std::size_t index = (update.user_data & INDEX_MASK) - 1u;
        if (index >= places_.size() || places_[index].updating == nullptr) {
            return;
        }
        places_[index].updating->give_back(*places_[index].slot);
        places_[index].updating.reset();
        places_[index].slot = nullptr;
        ended_.notify_all();
    }

private:
    Registration *find(std::uint32_t handle) {
        const std::size_t index = (handle & INDEX_MASK) - 1u;
        if (index >= places_.size()) {
            return nullptr;
        }
        Registration &place = places_[index];
        const bool current = handle >> INDEX_BITS == (place.generation << INDEX_BITS) >> INDEX_BITS;
        return current && place.box != nullptr ? &place : nullptr;
    }

    std::mutex mutex_;
    std::condition_variable ended_;
    std::array<Registration, BUNRAKU_UNITY_MAX_HANDLES> places_;
};

Registry &registry() {
    static Registry instance;
    return instance;
}

void BUNRAKU_UNITY_CALL update_texture(int event, void *data) {
    if (data == nullptr) {
        return;
    }
    TextureUpdate &update = *static_cast<TextureUpdate *>(data);
    if (event == UPDATE_TEXTURE_BEGIN) {
        registry().begin(update);
    } else if (event == UPDATE_TEXTURE_END) {
        registry().end(update);
    }
}

} // namespace
} // namespace bunraku

bunraku_unity_callback bunraku_unity_texture_callback(void) { return bunraku::update_texture; }

uint32_t bunraku_unity_register(bunraku_client *client) {
    return client == nullptr ? 0 : bunraku::registry().add(client->box);
}

int32_t bunraku_unity_unregister(uint32_t handle) {
    return bunraku::registry().remove(handle) ? BUNRAKU_OK : BUNRAKU_NOT_FOUND;
}
