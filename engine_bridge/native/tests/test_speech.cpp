// The talking NPC's mouth, and the C++ wrapper's ownership.
#include <cmath>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <type_traits>

#include "bunraku/client.hpp"
#include "bunraku/speech.hpp"
#include "check.h"
#include "producer.h"

namespace {

std::string unescaped(const std::string &text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const bool escape = text[i] == '\\' && i + 1 < text.size();
        out += !escape ? text[i] : text[++i] == 't' ? '\t' : '\n';
    }
    return out;
}

} // namespace

TEST("speech", "every line of the conformance kit is spoken as written") {
    std::ifstream file(BUNRAKU_CONFORMANCE "/speech.txt");
    if (!file) {
        std::printf("        skipped: there is no %s/speech.txt\n", BUNRAKU_CONFORMANCE);
        return;
    }
    bunraku::Speech speech;
    int compared = 0;
    for (std::string line; std::getline(file, line);) {
        if (line.compare(0, 5, "text=") == 0) {
            speech.say(unescaped(line.substr(5)));
            continue;
        }
        std::istringstream words(line);
        double t_ms = 0.0;
        double weights[5];
        std::string expression;
        words >> t_ms >> weights[0] >> weights[1] >> weights[2] >> weights[3] >> weights[4] >> expression;
        REQUIRE(!words.fail());
        const bunraku::SpeechPose pose = speech.at(t_ms / 1000.0);
        const float got[] = {pose.aa, pose.ih, pose.ou, pose.ee, pose.oh};
        for (int i = 0; i < 5; ++i) {
            CHECK(std::fabs(static_cast<double>(got[i]) - weights[i]) < 0.00006);
        }
        const std::string told = pose.left_alone ? "-" : pose.expression[0] == '\0' ? "~" : pose.expression;
        CHECK_EQUAL(told, expression);
        CHECK_EQUAL(pose.done, t_ms / 1000.0 >= speech.duration_s());
        ++compared;
    }
    CHECK(compared > 100);
}

TEST("speech", "a frame is released when its holder ends, and moves with its holder") {
    static_assert(!std::is_copy_constructible_v<bunraku::Frame> &&
                  std::is_nothrow_move_constructible_v<bunraku::Frame>);
    producer::Producer producer;
    bunraku_options options = bunraku::Client::options();
    options.endpoint = producer.frames_endpoint.c_str();
    bunraku::Client client;
    REQUIRE(client.open(options));
    REQUIRE(producer.wait_for_subscriber());
    bunraku::Frame shown;
    for (std::uint64_t id = 1; id <= 10; ++id) { // more than there are leases
        producer.send(messages::raw_frame(id).parts());
        CHECK(producer::eventually([&] {
            if (bunraku::Frame newest = client.acquire()) {
                shown = std::move(newest);
                return true;
            }
            return false;
        }));
        CHECK(shown && shown->frame_id == id);
    }
    options.endpoint = "nonsense";
    bunraku::Client refused;
    CHECK(!refused.open(options));
    CHECK(std::strlen(refused.why()) > 0);
    shown.release();
}
