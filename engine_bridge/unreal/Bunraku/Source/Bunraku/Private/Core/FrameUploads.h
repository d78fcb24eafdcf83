// Which frame goes into which texture, and what must live until the copy has been made. Plain C++17: no Unreal types.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>

#include "Client.h"

namespace bunraku::core {

constexpr unsigned kMaxTextures = BUNRAKU_MAX_LEASES;

// What the game thread and the updates under way share; it outlives the component if need be.
struct UploadsInFlight {
    std::shared_ptr<Client> client;
    std::array<std::atomic<bool>, kMaxTextures> busy{};
};

/*
 * A frame on its way into a texture. The render thread calls finish() once the pixels have been copied. Whoever drops
 * an upload without calling it gives the lease back just the same, so an update that the engine throws away loses
 * nothing.
 */
class Upload {
public:
    Upload(std::shared_ptr<UploadsInFlight> flight, unsigned slot, const bunraku_frame& frame);
    ~Upload();
    Upload(const Upload&) = delete;
    Upload& operator=(const Upload&) = delete;

    // Its pixels are valid until finish().
    const bunraku_frame& frame() const { return frame_; }

    // The texture to write into, from 0.
    unsigned slot() const { return slot_; }

    // Give the lease back. From any thread, any number of times; the last upload of a closed receiver closes the client.
    void finish();

private:
    std::shared_ptr<UploadsInFlight> flight_;
    bunraku_frame frame_;
    unsigned slot_;
    std::atomic<bool> finished_{false};
};

/*
 * Hands out the newest frame together with a texture that nobody is writing into. With two or three textures it is
 * never the one shown last, so the graphics card need not wait for the frame that it is still drawing. All calls but
 * Upload::finish come from one thread, the game's.
 */
class FrameUploads {
public:
    // textures: 1 to kMaxTextures, others are brought into that range.
    FrameUploads(std::shared_ptr<Client> client, unsigned textures);

    // Null if there is nothing newer, or if all textures are still being written; the frame then waits in the client,
    // where a newer one replaces it.
    std::shared_ptr<Upload> next();

    unsigned textures() const { return textures_; }
    unsigned in_flight() const;

    // How often a tick found all textures still being written.
    std::uint64_t deferred() const { return deferred_; }

private:
    int free_slot() const;

    std::shared_ptr<UploadsInFlight> flight_;
    unsigned textures_;
    int shown_ = -1;
    std::uint64_t deferred_ = 0;
};

}  // namespace bunraku::core
