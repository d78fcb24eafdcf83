#include <atomic>
#include <cstring>
#include <thread>

#include "box.h"
#include "check.h"

using namespace bunraku;

namespace {

// Fills a slot with a 4x4 picture whose every byte tells its number.
bool put(FrameBox &box, std::uint64_t id) {
    FrameBox::Slot &slot = box.slot_to_fill();
    slot.record = {};
    slot.record.id = id;
    slot.record.width = slot.record.height = 4;
    std::memset(slot.own_pixels(64), static_cast<int>(id & 0xff), 64);
    return box.publish(slot);
}

bunraku_frame take(FrameBox &box, std::int32_t expected = BUNRAKU_NEW_FRAME) {
    bunraku_frame frame{};
    CHECK_EQUAL(box.acquire(frame, BUNRAKU_RGBA8), expected);
    return frame;
}

bool is_whole(const std::uint8_t *pixels, std::uint64_t id) {
    for (int i = 0; i < 64; ++i) {
        if (pixels[i] != (id & 0xff)) {
            return false;
        }
    }
    return true;
}

} // namespace

TEST("box", "the newest wins, and is given once") {
    FrameBox box;
    take(box, BUNRAKU_OK);
    CHECK(!put(box, 1));
    CHECK(put(box, 2));
    const bunraku_frame frame = take(box);
    CHECK_EQUAL(frame.frame_id, 2u);
    CHECK_EQUAL(frame.byte_count, 64u);
    take(box, BUNRAKU_OK);
    CHECK(!put(box, 3));
    CHECK_EQUAL(box.shown(), 1u);
    box.release(frame.lease);
}

TEST("box", "three leases keep their pixels, a fourth must wait") {
    FrameBox box;
    bunraku_frame frames[3];
    for (std::uint64_t id = 1; id <= 3; ++id) {
        put(box, id);
        frames[id - 1] = take(box);
    }
    put(box, 4);
    take(box, BUNRAKU_TOO_MANY);
    for (std::uint64_t id = 5; id < 50; ++id) {
        put(box, id);
    }
    for (const bunraku_frame &frame : frames) {
        CHECK(is_whole(frame.pixels, frame.frame_id));
    }
    CHECK_EQUAL(box.release(frames[1].lease), BUNRAKU_OK);
    const bunraku_frame newest = take(box);
    CHECK_EQUAL(newest.frame_id, 49u);
}

TEST("box", "releasing twice or what never was is harmless") {
    FrameBox box;
    put(box, 1);
    const bunraku_frame first = take(box);
    CHECK_EQUAL(box.release(first.lease), BUNRAKU_OK);
    put(box, 2);
    const bunraku_frame second = take(box);
    CHECK(second.lease != first.lease);
    CHECK_EQUAL(box.release(first.lease), BUNRAKU_OK); // an old number does not free what has its place now
    for (std::uint64_t id = 3; id < 20; ++id) {
        put(box, id);
    }
    CHECK(is_whole(second.pixels, 2));
    CHECK_EQUAL(box.release(0), BUNRAKU_BAD_ARGUMENT);
    CHECK_EQUAL(box.release(~0u & ~3u), BUNRAKU_BAD_ARGUMENT);
    CHECK_EQUAL(box.release(0xfffffff1u), BUNRAKU_OK);
}

TEST("box", "a message is handed out where it lies") {
    FrameBox box;
    zmq_msg_t message;
    zmq_msg_init_size(&message, 4096);
    const void *const data = zmq_msg_data(&message);
    FrameBox::Slot &slot = box.slot_to_fill();
    slot.record.width = 32;
    slot.record.height = 32;
    slot.adopt(message);
    box.publish(slot);
    zmq_msg_close(&message);
    const bunraku_frame frame = take(box);
    CHECK(frame.pixels == data);
    box.release(frame.lease);
}

TEST("box", "a render thread may hold the newest frame, taken or not") {
    FrameBox box;
    CHECK(box.hold_newest() == nullptr);
    put(box, 1);
    const bunraku_frame frame = take(box);
    const FrameBox::Slot *const held = box.hold_newest();
    REQUIRE(held != nullptr);
    CHECK(held->pixels() == frame.pixels);
    CHECK(box.hold_newest() == nullptr); // one at a time
    box.release(frame.lease);
    for (std::uint64_t id = 2; id < 20; ++id) {
        put(box, id);
        box.release(take(box).lease);
    }
    CHECK(is_whole(held->pixels(), 1));
    box.give_back(*held);
    CHECK(box.hold_newest() != nullptr);
}

TEST("box", "filling, taking and holding at once gives only whole pictures") {
    FrameBox box;
    std::atomic<bool> done{false};
    std::atomic<int> torn{0};
    std::thread producer([&] {
        for (std::uint64_t id = 1; id <= 20000; ++id) {
            put(box, id);
        }
        done = true;
    });
    const auto consume = [&] {
        std::uint64_t last = 0;
        while (!done) {
            bunraku_frame frame{};
            if (box.acquire(frame, BUNRAKU_RGBA8) == BUNRAKU_NEW_FRAME) {
                torn += is_whole(frame.pixels, frame.frame_id) && frame.frame_id > last ? 0 : 1;
                last = frame.frame_id;
                box.release(frame.lease);
            }
        }
    };
    std::thread one(consume);
    std::thread two(consume);
    std::thread render([&] {
        while (!done) {
            const FrameBox::Slot *const slot = box.hold_newest();
            if (slot != nullptr) {
                torn += is_whole(slot->pixels(), slot->record.id) ? 0 : 1;
                box.give_back(*slot);
            }
        }
    });
    producer.join();
    one.join();
    two.join();
    render.join();
    CHECK_EQUAL(torn.load(), 0);
}
