// A character on a stream says a line, and follows the player with her eyes; see ../README.md.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <string>
#include <thread>

#include "bunraku/client.hpp"
#include "bunraku/speech.hpp"

namespace {

using Clock = std::chrono::steady_clock;

constexpr char LINE[] =
    "[happy] Hello, traveller! [relaxed] The road to the old mill is quiet today. [surprised] Oh! Is that a map?";
constexpr double WALK_S = 8.0; // in which the player walks there and back
constexpr double PI = 3.14159265358979323846;
constexpr auto TICK = std::chrono::milliseconds(16);

double seconds_since(Clock::time_point began) { return std::chrono::duration<double>(Clock::now() - began).count(); }

// Everything that she does at this time.
void act(const bunraku::Speech &speech, double t_s, bunraku::Wanted &wanted) {
    const bunraku::SpeechPose pose = speech.at(t_s);
    wanted.hold("aa", pose.aa);
    wanted.hold("ih", pose.ih);
    wanted.hold("ou", pose.ou);
    wanted.hold("ee", pose.ee);
    wanted.hold("oh", pose.oh);
    if (pose.left_alone) {
        wanted.leave_expression();
    } else {
        wanted.express(pose.expression);
    }
    // The player walks on a plane before her: x to the left as she sees it, z away from her, in metres.
    const double x = 2.0 * std::sin(2.0 * PI * t_s / WALK_S);
    const double yaw = std::clamp(std::atan2(x, 2.5) * 180.0 / PI, -30.0, 30.0);
    wanted.hold("gazeYaw", static_cast<float>(yaw));
    wanted.hold("headYaw", static_cast<float>(yaw / 3.0));
}

bool wait_for_welcome(bunraku::Client &client, bunraku_info &info) {
    for (const Clock::time_point began = Clock::now(); seconds_since(began) < 5.0;) {
        if (client.info(info)) {
            return true;
        }
        std::this_thread::sleep_for(TICK);
    }
    return false;
}

} // namespace

// Usage: talking_npc [ENDPOINT [LINE]]; without an endpoint the first stream of this machine.
int main(int count, char **arguments) {
    bunraku_options options = bunraku::Client::options();
    options.endpoint = count > 1 ? arguments[1] : "";
    options.client_name = "talking_npc.cpp";
    const char *const line = count > 2 ? arguments[2] : LINE;

    bunraku::Client client;
    if (!client.open(options)) {
        std::fprintf(stderr, "%s\n", client.why());
        return 1;
    }
    bunraku_info info;
    if (!wait_for_welcome(client, info)) {
        std::fprintf(stderr, "Nobody takes controls. Start a character: bunraku live --stream npc\n%s\n",
                     client.status().last_error);
        return 1;
    }
    std::printf("%s says: %s\n", info.character, line);

    bunraku::Speech speech;
    speech.say(line);
    bunraku::Wanted wanted;
    bunraku::Frame shown; // a game would draw this one until there is a newer one
    unsigned frames = 0;
    const Clock::time_point began = Clock::now();
    for (double t_s = 0.0; t_s <= speech.duration_s(); t_s = seconds_since(began)) {
        act(speech, t_s, wanted);
        client.send(wanted);
        if (bunraku::Frame newest = client.acquire()) {
            shown = std::move(newest);
            ++frames;
        }
        std::this_thread::sleep_for(TICK);
    }
    wanted.release_all(); // mouth, eyes and head are her own again; the mood fades
    wanted.express("");
    client.send(wanted);
    std::this_thread::sleep_for(std::chrono::milliseconds(100)); // for the last state to leave
    std::printf("%u frames, motion to photon %.0f ms\n", frames, client.status().motion_to_photon_ms_p50);
    return frames > 0 ? 0 : 1;
}
