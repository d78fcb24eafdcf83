// The engine-free core of the Unreal plugin, with a render thread that is late, reorders, and outlives the component.
//
//     core_test [name]...      all tests, or those named; prints "ok NAME" per test and ends with 0, or dies saying where
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "Core/Client.h"
#include "Core/Directions.h"
#include "Core/FrameUploads.h"
#include "stand_in_client.h"

using bunraku::core::Client;
using bunraku::core::ClientOptions;
using bunraku::core::direction_to;
using bunraku::core::FrameUploads;
using bunraku::core::head_pose;
using bunraku::core::look_along;
using bunraku::core::normalized_degrees;
using bunraku::core::Upload;

namespace {

#define EXPECT(condition)                                                                    \
    do {                                                                                     \
        if (!(condition)) {                                                                  \
            std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);     \
            std::exit(1);                                                                    \
        }                                                                                    \
    } while (false)

std::uint64_t next_frame_id = 0;

unsigned draw(std::mt19937& random, unsigned below) {
    return static_cast<unsigned>(random() % below);
}

std::uint64_t publish(std::uint32_t width = 8, std::uint32_t height = 4) {
    stand_in::publish(++next_frame_id, width, height);
    return next_frame_id;
}

std::shared_ptr<Client> open_client() {
    std::string why;
    auto client = Client::open({}, why);
    EXPECT(client != nullptr);
    return client;
}

bool pixels_are_its_own(const bunraku_frame& frame) {
    const std::uint8_t shade = stand_in::shade_of(frame.frame_id);
    return std::all_of(frame.pixels, frame.pixels + frame.byte_count, [&](std::uint8_t byte) { return byte == shade; });
}

void expect_everything_is_back() {
    EXPECT(stand_in::leases() == 0);
    EXPECT(stand_in::open_clients() == 0);
    EXPECT(stand_in::misuses() == 0);
    EXPECT(Client::open_count() == 0);
}

// Runs what it is given later, on a thread of its own, not always in order: the worst that a render thread could be.
class RenderThread {
public:
    explicit RenderThread(unsigned seed) : random_(seed), thread_([this] { run(); }) {}

    ~RenderThread() {
        {
            const std::lock_guard<std::mutex> hold(gate_);
            ending_ = true;
        }
        wake_.notify_one();
        thread_.join();
    }

    void enqueue(std::function<void()> command) {
        {
            const std::lock_guard<std::mutex> hold(gate_);
            waiting_.push_back(std::move(command));
        }
        wake_.notify_one();
    }

private:
    void run() {
        std::unique_lock<std::mutex> hold(gate_);
        while (true) {
            wake_.wait(hold, [this] { return ending_ || !waiting_.empty(); });
            if (waiting_.empty()) {
                return;
            }
            const auto chosen = waiting_.begin() + static_cast<std::ptrdiff_t>(random_() % waiting_.size());
            std::function<void()> command = std::move(*chosen);
            waiting_.erase(chosen);
            const auto pause = std::chrono::microseconds(draw(random_, 200));
            hold.unlock();
            std::this_thread::sleep_for(pause);
            command();
            command = nullptr;
            hold.lock();
        }
    }

    std::mutex gate_;
    std::condition_variable wake_;
    std::vector<std::function<void()>> waiting_;
    std::mt19937 random_;
    bool ending_ = false;
    std::thread thread_;
};

// ---- frames and textures

void the_newest_frame_goes_into_the_texture_not_shown() {
    FrameUploads uploads(open_client(), 2);
    EXPECT(uploads.next() == nullptr);
    unsigned shown = 99;
    for (int round = 0; round < 6; ++round) {
        const std::uint64_t skipped = publish();
        const std::uint64_t newest = publish();
        const auto upload = uploads.next();
        EXPECT(upload != nullptr);
        EXPECT(upload->frame().frame_id == newest && newest == skipped + 1);
        EXPECT(upload->slot() != shown);
        EXPECT(pixels_are_its_own(upload->frame()));
        shown = upload->slot();
        upload->finish();
        EXPECT(uploads.next() == nullptr);
    }
}

void a_frame_waits_in_the_client_while_all_textures_are_written() {
    FrameUploads uploads(open_client(), 2);
    publish();
    const auto first = uploads.next();
    publish();
    const auto second = uploads.next();
    EXPECT(uploads.in_flight() == 2 && stand_in::leases() == 2);

    publish();
    EXPECT(uploads.next() == nullptr);
    const std::uint64_t newest = publish();
    EXPECT(uploads.next() == nullptr);
    EXPECT(uploads.deferred() == 2 && stand_in::leases() == 2);

    first->finish();
    const auto third = uploads.next();
    EXPECT(third != nullptr && third->frame().frame_id == newest && third->slot() == first->slot());
    second->finish();
    third->finish();
    EXPECT(uploads.in_flight() == 0 && stand_in::leases() == 0);
}

void the_shown_texture_is_never_written_even_if_it_alone_is_free() {
    for (unsigned textures = 2; textures <= bunraku::core::kMaxTextures; ++textures) {
        FrameUploads uploads(open_client(), textures);
        std::vector<std::shared_ptr<Upload>> under_way;
        for (unsigned index = 0; index < textures; ++index) {
            publish();
            under_way.push_back(uploads.next());
            EXPECT(under_way.back() != nullptr);
        }
        under_way.back()->finish();
        publish();
        EXPECT(uploads.next() == nullptr);
        under_way.front()->finish();
        EXPECT(uploads.next()->slot() == under_way.front()->slot());
    }
}

void one_texture_is_always_the_same_one() {
    FrameUploads uploads(open_client(), 1);
    for (int round = 0; round < 3; ++round) {
        publish();
        const auto upload = uploads.next();
        EXPECT(upload != nullptr && upload->slot() == 0);
        publish();
        EXPECT(uploads.next() == nullptr);
        upload->finish();
    }
    EXPECT(uploads.deferred() == 3);
}

void the_number_of_textures_is_brought_into_range() {
    EXPECT(FrameUploads(open_client(), 0).textures() == 1);
    EXPECT(FrameUploads(open_client(), 2).textures() == 2);
    EXPECT(FrameUploads(open_client(), 50).textures() == bunraku::core::kMaxTextures);
}

void a_dropped_upload_gives_its_lease_back() {
    FrameUploads uploads(open_client(), 2);
    publish();
    EXPECT(uploads.next() != nullptr);
    EXPECT(uploads.in_flight() == 0 && stand_in::leases() == 0);
}

void finishing_twice_is_harmless() {
    FrameUploads uploads(open_client(), 2);
    publish();
    const auto first = uploads.next();
    first->finish();
    publish();
    publish();
    const auto second = uploads.next();
    first->finish();
    EXPECT(uploads.in_flight() == 1 && stand_in::leases() == 1);
    EXPECT(pixels_are_its_own(second->frame()));
}

void two_threads_may_finish_the_same_upload() {
    for (int round = 0; round < 200; ++round) {
        FrameUploads uploads(open_client(), 2);
        publish();
        const auto upload = uploads.next();
        std::atomic<int> ready{0};
        const auto finish = [&upload, &ready] {
            ++ready;
            while (ready.load() < 2) {
                std::this_thread::yield();
            }
            upload->finish();
        };
        std::thread other(finish);
        finish();
        other.join();
        EXPECT(uploads.in_flight() == 0 && stand_in::leases() == 0 && stand_in::misuses() == 0);
    }
}

void the_last_upload_closes_the_client() {
    auto uploads = std::make_unique<FrameUploads>(open_client(), 3);
    publish();
    auto first = uploads->next();
    publish(16, 16);
    auto second = uploads->next();
    uploads.reset();
    EXPECT(stand_in::open_clients() == 1 && Client::open_count() == 1);
    EXPECT(pixels_are_its_own(first->frame()) && pixels_are_its_own(second->frame()));
    second->finish();
    EXPECT(stand_in::open_clients() == 1);
    EXPECT(pixels_are_its_own(first->frame()));
    first.reset();
    EXPECT(stand_in::open_clients() == 0);
}

void a_receiver_with_nothing_under_way_closes_its_client_at_once() {
    auto uploads = std::make_unique<FrameUploads>(open_client(), 2);
    publish();
    uploads->next()->finish();
    uploads.reset();
    EXPECT(stand_in::open_clients() == 0);
}

void receivers_come_and_go_while_the_render_thread_lags() {
    std::atomic<int> copied{0};
    std::atomic<int> wrong{0};
    std::mt19937 random(7);
    int begun = 0;
    {
        RenderThread render(11);
        for (int life = 0; life < 60; ++life) {
            FrameUploads uploads(open_client(), 1 + draw(random, 3));
            const int ticks = static_cast<int>(draw(random, 12));
            for (int tick = 0; tick < ticks; ++tick) {
                publish(1 + draw(random, 32), 1 + draw(random, 32));
                auto upload = uploads.next();
                if (upload == nullptr) {
                    std::this_thread::sleep_for(std::chrono::microseconds(draw(random, 300)));
                    continue;
                }
                ++begun;
                if (draw(random, 8) == 0) {
                    // As an engine does that throws an update away: the command goes without having run.
                    copied.fetch_add(1);
                    render.enqueue([dropped = std::move(upload)] {});
                    continue;
                }
                render.enqueue([&copied, &wrong, upload = std::move(upload)] {
                    wrong.fetch_add(pixels_are_its_own(upload->frame()) ? 0 : 1);
                    copied.fetch_add(1);
                    upload->finish();
                });
            }
        }
    }
    EXPECT(begun > 60);
    EXPECT(copied.load() == begun);
    EXPECT(wrong.load() == 0);
}

void two_receivers_share_one_render_thread() {
    std::atomic<int> wrong{0};
    {
        RenderThread render(5);
        const auto game = [&render, &wrong](unsigned seed) {
            std::mt19937 random(seed);
            for (int life = 0; life < 20; ++life) {
                FrameUploads uploads(open_client(), 2);
                for (int tick = 0; tick < 10; ++tick) {
                    if (auto upload = uploads.next()) {
                        render.enqueue([&wrong, upload = std::move(upload)] {
                            wrong.fetch_add(pixels_are_its_own(upload->frame()) ? 0 : 1);
                            upload->finish();
                        });
                    }
                    std::this_thread::sleep_for(std::chrono::microseconds(draw(random, 100)));
                }
            }
        };
        std::thread first(game, 1u);
        std::thread second(game, 2u);
        for (int frame = 0; frame < 300; ++frame) {
            publish();
            std::this_thread::sleep_for(std::chrono::microseconds(50));
        }
        first.join();
        second.join();
    }
    EXPECT(wrong.load() == 0);
}

// ---- opening

void what_cannot_be_opened_is_told_in_a_sentence() {
    std::string why;
    ClientOptions options;
    options.endpoint = "127.0.0.1:5760";
    EXPECT(Client::open(options, why) == nullptr);
    EXPECT(why == "the endpoint is malformed");

    options.endpoint.clear();
    options.stream.assign(80, 'x');
    EXPECT(Client::open(options, why) == nullptr);
    EXPECT(why == "something went wrong");

    options.stream.clear();
    options.key_file = "nowhere.toml";
    EXPECT(Client::open(options, why) == nullptr);
    EXPECT(why == "nowhere.toml cannot be read");
}

// ---- controls

// What the verbs mean is tested with the native client; here is when a state goes to which client.

void a_state_is_sent_once_per_change() {
    const auto client = open_client();
    bunraku::Wanted wanted;
    const int before = stand_in::states_sent();
    EXPECT(client->send(wanted) == BUNRAKU_OK && stand_in::states_sent() == before);
    EXPECT(wanted.hold("jawOpen", 0.5f) == BUNRAKU_OK && wanted.hold("headYaw", -12.0f) == BUNRAKU_OK);
    client->send(wanted);
    client->send(wanted);
    EXPECT(stand_in::states_sent() == before + 1 && stand_in::controls_sent() == 2);
}

void a_state_that_cannot_be_sent_waits_for_the_next_change() {
    const auto client = open_client();
    bunraku::Wanted wanted;
    const int before = stand_in::states_sent();
    wanted.hold("jawOpen", 0.5f);
    stand_in::answer_next_send(BUNRAKU_NO_MEMORY);
    EXPECT(client->send(wanted) == BUNRAKU_NO_MEMORY);
    EXPECT(client->send(wanted) == BUNRAKU_OK && stand_in::states_sent() == before + 1);
    wanted.hold("jawOpen", 1.0f);
    EXPECT(client->send(wanted) == BUNRAKU_OK && stand_in::states_sent() == before + 2);
}

void a_new_client_is_told_everything_again() {
    bunraku::Wanted wanted;
    const int before = stand_in::states_sent();
    wanted.hold("jawOpen", 0.5f);
    open_client()->send(wanted);
    open_client()->send(wanted);
    EXPECT(stand_in::states_sent() == before + 2 && stand_in::controls_sent() == 1);
}

// ---- directions

struct Vector {
    double x, y, z;
};

// The axes of a rotator as Unreal defines them, written out from its documented matrix and not from Directions.h.
struct Axes {
    Vector forward, right, up;
};

Axes axes_of(double pitch_deg, double yaw_deg, double roll_deg) {
    const double radians = std::acos(-1.0) / 180.0;
    const double sp = std::sin(radians * pitch_deg), cp = std::cos(radians * pitch_deg);
    const double sy = std::sin(radians * yaw_deg), cy = std::cos(radians * yaw_deg);
    const double sr = std::sin(radians * roll_deg), cr = std::cos(radians * roll_deg);
    return {{cp * cy, cp * sy, sp},
            {sr * sp * cy - cr * sy, sr * sp * sy + cr * cy, -sr * cp},
            {-(cr * sp * cy + sr * sy), cy * sr - cr * sp * sy, cr * cp}};
}

bool near(double a, double b) {
    return std::abs(a - b) < 1e-9;
}

bool same_angle(double a, double b) {
    return std::abs(std::remainder(a - b, 360.0)) < 1e-9;
}

void known_points_lie_where_they_should() {
    EXPECT(near(direction_to(100, 0, 0).yaw_deg, 0) && near(direction_to(100, 0, 0).pitch_deg, 0));
    EXPECT(near(direction_to(100, -100, 0).yaw_deg, 45));   // Unreal's -Y is its left
    EXPECT(near(direction_to(100, 100, 0).yaw_deg, -45));
    EXPECT(near(direction_to(0, -1, 0).yaw_deg, 90));
    EXPECT(near(direction_to(3, 4, 5).pitch_deg, 45));
    EXPECT(near(direction_to(1, 0, -1).pitch_deg, -45));
    EXPECT(near(direction_to(0, 0, 9).pitch_deg, 90) && near(direction_to(0, 0, 9).yaw_deg, 0));
    EXPECT(near(direction_to(-1, 0, 0).yaw_deg, 180) && near(direction_to(-1, -0.0, 0).yaw_deg, 180));
    EXPECT(near(direction_to(0, 0, 0).yaw_deg, 0) && near(direction_to(0, 0, 0).pitch_deg, 0));
}

void known_rotations_become_known_poses() {
    EXPECT(near(head_pose(0, 20, 0).yaw_deg, -20));   // a rotator's yaw turns right
    EXPECT(near(head_pose(10, 0, 0).pitch_deg, 10));
    EXPECT(near(head_pose(0, 0, 15).roll_deg, -15));  // a rotator's roll tilts right
    EXPECT(near(head_pose(0, 340, 0).yaw_deg, 20));
    EXPECT(near(normalized_degrees(-180), 180) && near(normalized_degrees(540), 180) && near(normalized_degrees(721), 1));
}

void random_rotations_agree_with_the_axes_of_a_rotator() {
    std::mt19937_64 random(20240817);
    std::uniform_real_distribution<double> turn(-720.0, 720.0);
    std::uniform_real_distribution<double> tilt(-89.0, 89.0);
    std::uniform_real_distribution<double> far(0.01, 1e5);
    for (int round = 0; round < 20000; ++round) {
        const double pitch = tilt(random), yaw = turn(random), roll = tilt(random), distance = far(random);
        const Axes turned = axes_of(pitch, yaw, roll);
        const auto ahead = direction_to(distance * turned.forward.x, distance * turned.forward.y,
                                        distance * turned.forward.z);
        const auto pose = head_pose(pitch, yaw, roll);
        EXPECT(same_angle(ahead.yaw_deg, pose.yaw_deg));
        EXPECT(std::abs(ahead.pitch_deg - pose.pitch_deg) < 1e-6);
        EXPECT(ahead.yaw_deg > -180.0 && ahead.yaw_deg <= 180.0 && std::abs(ahead.pitch_deg) <= 90.0);

        // The left shoulder is lower, in the character's own space, exactly when the roll is positive.
        const Axes tilted = axes_of(0, 0, roll);
        EXPECT((pose.roll_deg > 0) == (-tilted.right.z < 0));

        // What is seen in a mirror (left and right exchanged) lies at the same height on the other side.
        const auto mirrored = direction_to(turned.forward.x, -turned.forward.y, turned.forward.z);
        EXPECT(same_angle(mirrored.yaw_deg, -ahead.yaw_deg));
    }
}

void random_looks_stay_within_their_limits() {
    std::mt19937_64 random(3);
    std::normal_distribution<double> point(0.0, 300.0);
    for (int round = 0; round < 20000; ++round) {
        const auto direction = direction_to(point(random), point(random), point(random));
        const auto look = look_along(direction, 30, 20, 1.0 / 3.0);
        EXPECT(std::abs(look.gaze_yaw_deg) <= 30 && std::abs(look.gaze_pitch_deg) <= 20);
        EXPECT(near(look.head_yaw_deg, look.gaze_yaw_deg / 3) && near(look.head_pitch_deg, look.gaze_pitch_deg / 3));
        EXPECT(look.gaze_yaw_deg * direction.yaw_deg >= 0 && look.gaze_pitch_deg * direction.pitch_deg >= 0);
        EXPECT(std::abs(direction.yaw_deg) > 30 || near(look.gaze_yaw_deg, direction.yaw_deg));
    }
}

struct Test {
    const char* name;
    void (*run)();
};

#define TEST(name) {#name, name}
const Test kTests[] = {
    TEST(the_newest_frame_goes_into_the_texture_not_shown),
    TEST(a_frame_waits_in_the_client_while_all_textures_are_written),
    TEST(the_shown_texture_is_never_written_even_if_it_alone_is_free),
    TEST(one_texture_is_always_the_same_one),
    TEST(the_number_of_textures_is_brought_into_range),
    TEST(a_dropped_upload_gives_its_lease_back),
    TEST(finishing_twice_is_harmless),
    TEST(two_threads_may_finish_the_same_upload),
    TEST(the_last_upload_closes_the_client),
    TEST(a_receiver_with_nothing_under_way_closes_its_client_at_once),
    TEST(receivers_come_and_go_while_the_render_thread_lags),
    TEST(two_receivers_share_one_render_thread),
    TEST(what_cannot_be_opened_is_told_in_a_sentence),
    TEST(a_state_is_sent_once_per_change),
    TEST(a_state_that_cannot_be_sent_waits_for_the_next_change),
    TEST(a_new_client_is_told_everything_again),
    TEST(known_points_lie_where_they_should),
    TEST(known_rotations_become_known_poses),
    TEST(random_rotations_agree_with_the_axes_of_a_rotator),
    TEST(random_looks_stay_within_their_limits),
};

}  // namespace

int main(int count, char** words) {
    for (const Test& test : kTests) {
        const bool wanted = count == 1 || std::any_of(words + 1, words + count, [&](const char* word) {
            return std::strcmp(word, test.name) == 0;
        });
        if (wanted) {
            test.run();
            expect_everything_is_back();
            std::printf("ok %s\n", test.name);
        }
    }
    return 0;
}
