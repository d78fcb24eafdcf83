// The texture callback as Unity's render thread would use it.
#include <atomic>
#include <cstdint>
#include <thread>

#include "bunraku/unity.h"
#include "check.h"
#include "producer.h"

using namespace producer;
using messages::raw_frame;

namespace {

constexpr int BEGIN = 9;
constexpr int END = 10;

// UnityRenderingExtTextureUpdateParamsV2, as Unity lays it out.
struct Update {
    void *texture_data;
    std::intptr_t texture;
    std::uint32_t user_data, format, width, height, bytes_per_pixel;
};

// One texture update; the first byte of the pixels, or -1 if there were none.
int update(std::uint32_t handle, std::uint32_t width, std::uint32_t height, std::uint32_t bytes_per_pixel = 4) {
    char something = 0;
    Update params{&something, 1, handle, 0, width, height, bytes_per_pixel};
    const bunraku_unity_callback callback = bunraku_unity_texture_callback();
    callback(BEGIN, &params);
    const int first = params.texture_data == nullptr ? -1 : *static_cast<const std::uint8_t *>(params.texture_data);
    callback(END, &params);
    return first;
}

} // namespace

TEST("unity", "a texture of the frame's size gets the newest pixels, any other none") {
    Producer producer;
    Client client(producer.frames_endpoint);
    REQUIRE(producer.wait_for_subscriber());
    const std::uint32_t handle = bunraku_unity_register(client);
    CHECK(handle != 0);
    CHECK_EQUAL(update(handle, 8, 4), -1); // nothing has come yet
    producer.send(raw_frame(1, 8, 4, 21).parts());
    const bunraku_frame frame = client.wait();
    bunraku_release(client, frame.lease);
    CHECK_EQUAL(update(handle, 8, 4), 21);
    CHECK_EQUAL(update(handle, 8, 4), 21); // again, for a texture that was lost
    CHECK_EQUAL(update(handle, 4, 8), -1);
    CHECK_EQUAL(update(handle, 8, 4, 2), -1);
    producer.send(raw_frame(2, 4, 8, 22).parts());
    client.wait();
    CHECK_EQUAL(update(handle, 8, 4), -1);
    CHECK_EQUAL(update(handle, 4, 8), 22);
    CHECK_EQUAL(bunraku_unity_unregister(handle), BUNRAKU_OK);
    CHECK_EQUAL(update(handle, 4, 8), -1);
    CHECK_EQUAL(bunraku_unity_unregister(handle), BUNRAKU_NOT_FOUND);
}

TEST("unity", "handles are never used again") {
    Producer producer;
    Client client(producer.frames_endpoint);
    const std::uint32_t first = bunraku_unity_register(client);
    bunraku_unity_unregister(first);
    const std::uint32_t second = bunraku_unity_register(client);
    CHECK(first != second);
    CHECK_EQUAL(bunraku_unity_unregister(first), BUNRAKU_NOT_FOUND);
    CHECK_EQUAL(bunraku_unity_unregister(second), BUNRAKU_OK);
    CHECK_EQUAL(bunraku_unity_register(nullptr), 0u);
    for (const std::uint32_t nonsense : {0u, 65u, 255u, ~0u, 0x01000001u}) {
        CHECK_EQUAL(bunraku_unity_unregister(nonsense), BUNRAKU_NOT_FOUND);
        CHECK_EQUAL(update(nonsense, 1, 1), -1);
    }
    std::uint32_t handles[BUNRAKU_UNITY_MAX_HANDLES];
    for (std::uint32_t &handle : handles) {
        handle = bunraku_unity_register(client);
        CHECK(handle != 0);
    }
    CHECK_EQUAL(bunraku_unity_register(client), 0u);
    for (const std::uint32_t handle : handles) {
        CHECK_EQUAL(bunraku_unity_unregister(handle), BUNRAKU_OK);
    }
}

TEST("unity", "other events and missing parameters do nothing") {
    const bunraku_unity_callback callback = bunraku_unity_texture_callback();
    callback(BEGIN, nullptr);
    Update params{&params, 1, 1, 0, 1, 1, 4};
    callback(7, &params);
    CHECK(params.texture_data == &params);
    callback(END, &params);
}

TEST("unity", "an update that is running keeps its pixels, even after the client is closed") {
    Producer producer;
    Update params{};
    const bunraku_unity_callback callback = bunraku_unity_texture_callback();
    {
        Client client(producer.frames_endpoint);
        REQUIRE(producer.wait_for_subscriber());
        producer.send(raw_frame(1, 64, 64, 5).parts());
        client.wait();
        params.user_data = bunraku_unity_register(client);
        params.width = params.height = 64;
        params.bytes_per_pixel = 4;
        callback(BEGIN, &params);
        REQUIRE(params.texture_data != nullptr);
        bunraku_unity_unregister(params.user_data); // gives up waiting after a second
    }
    const auto *const pixels = static_cast<const std::uint8_t *>(params.texture_data);
    CHECK_EQUAL(int{pixels[0]}, 5);
    CHECK_EQUAL(int{pixels[64 * 64 * 4 - 1]}, 5);
    callback(END, &params);
}

TEST("unity", "a render thread that never rests, while frames come and the client goes") {
    Producer producer;
    for (int round = 0; round < 3; ++round) {
        std::atomic<bool> done{false};
        std::atomic<std::uint32_t> handle{0};
        std::atomic<int> shown{0};
        Client client(producer.frames_endpoint);
        REQUIRE(producer.wait_for_subscriber());
        handle = bunraku_unity_register(client);
        std::thread render([&] {
            while (!done) {
                shown += update(handle, 16, 16) >= 0 ? 1 : 0;
            }
        });
        std::uint64_t id = 0;
        CHECK(eventually([&] {
            ++id;
            producer.send(raw_frame(id, 16, 16, static_cast<std::uint8_t>(id)).parts());
            return shown > 100;
        }));
        CHECK_EQUAL(bunraku_unity_unregister(handle), BUNRAKU_OK);
        client.close_ms();
        done = true;
        render.join();
    }
}
