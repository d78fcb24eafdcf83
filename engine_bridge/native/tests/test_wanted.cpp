// The verbs: held to the conformance kit through the C ABI, and what no other language has to promise.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "bunraku/client.h"
#include "check.h"
#include "wanted.h"

namespace {

using Lines = std::vector<std::string>;
using Wanted = std::unique_ptr<bunraku_wanted, decltype(&bunraku_wanted_free)>;

Wanted nothing_wanted() { return {bunraku_wanted_new(), &bunraku_wanted_free}; }

std::string decimals(float value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.4f", static_cast<double>(value));
    return text;
}

std::string person(const char *name, std::int64_t seed) {
    return name != nullptr ? std::string("name ") + name : "seed " + std::to_string(seed);
}

// A state as verbs.txt has it.
Lines lines_of(const bunraku_control_state &state) {
    Lines lines;
    for (std::uint32_t i = 0; i < state.control_count; ++i) {
        lines.push_back(std::string("ex.") + state.controls[i].name + "=" + decimals(state.controls[i].value));
    }
    std::sort(lines.begin(), lines.end());
    if (state.identity != nullptr || state.seed >= 0) {
        lines.push_back("who=" + person(state.identity, state.seed));
    }
    if (state.mix_identity != nullptr || state.mix_seed >= 0) {
        lines.push_back("mix=" + person(state.mix_identity, state.mix_seed) + " " + decimals(state.mix_amount));
    }
    if (state.truncation_psi >= 0.0f) {
        lines.push_back("psi=" + decimals(state.truncation_psi));
    }
    if (state.expression != nullptr) {
        lines.push_back(std::string("emo=") + state.expression);
    }
    if (state.calibrate != 0) {
        lines.push_back("cal=yes");
    }
    return lines;
}

// What is sent now, as verbs.txt has it.
Lines sent(bunraku_wanted *wanted) {
    Lines lines = {"sent=no"};
    wanted->state.send([&](const bunraku_control_state &state) {
        lines = lines_of(state);
        lines.insert(lines.begin(), "sent=yes");
        return static_cast<std::int32_t>(BUNRAKU_OK);
    });
    return lines;
}

std::int32_t obey(bunraku_wanted *wanted, const std::string &line) {
    std::istringstream words(line);
    std::string verb, first, second;
    words >> verb >> first >> second;
    const std::string name = first == "~" ? "" : first;
    const auto seed = std::strtoll(first.c_str(), nullptr, 10);
    const float number = std::strtof((second.empty() ? first : second).c_str(), nullptr); // takes nan and inf
    const std::map<std::string, std::function<std::int32_t()>> verbs = {
        {"hold", [&] { return bunraku_wanted_hold(wanted, name.c_str(), number); }},
        {"release", [&] { return bunraku_wanted_release(wanted, name.c_str()); }},
        {"release_all", [&] { return bunraku_wanted_release_all(wanted); }},
        {"become", [&] { return bunraku_wanted_become(wanted, name.c_str()); }},
        {"become_seed", [&] { return bunraku_wanted_become_seed(wanted, seed); }},
        {"leave_identity", [&] { return bunraku_wanted_leave_identity(wanted); }},
        {"mix", [&] { return bunraku_wanted_mix(wanted, name.c_str(), number); }},
        {"mix_seed", [&] { return bunraku_wanted_mix_seed(wanted, seed, number); }},
        {"end_mix", [&] { return bunraku_wanted_end_mix(wanted); }},
        {"truncate", [&] { return bunraku_wanted_truncate(wanted, number); }},
        {"leave_truncation", [&] { return bunraku_wanted_leave_truncation(wanted); }},
        {"express", [&] { return bunraku_wanted_express(wanted, name.c_str()); }},
        {"leave_expression", [&] { return bunraku_wanted_leave_expression(wanted); }},
        {"calibrate", [&] { return bunraku_wanted_calibrate(wanted); }},
    };
    return verbs.at(verb)();
}

std::string joined(const Lines &lines) {
    std::string text;
    for (const std::string &line : lines) {
        text += line + "\n";
    }
    return text;
}

} // namespace

TEST("wanted", "verbs send what the conformance kit says") {
    std::ifstream file(BUNRAKU_CONFORMANCE "/verbs.txt");
    REQUIRE(file);
    Lines script;
    for (std::string line; std::getline(file, line);) {
        script.push_back(line);
    }
    Wanted wanted = nothing_wanted();
    int compared = 0;
    for (std::size_t i = 0; i < script.size();) {
        const std::string line = script[i++];
        const std::string key = line.substr(0, line.find('='));
        const std::string value = line.substr(line.find('=') + 1);
        if (key == "case") {
            wanted = nothing_wanted();
        } else if (key == "do") {
            CHECK_EQUAL(obey(wanted.get(), value), BUNRAKU_OK);
        } else if (key == "refuse") {
            CHECK(obey(wanted.get(), value) < 0);
        } else {
            Lines expected = {line};
            for (; i < script.size(); ++i) {
                const std::string next = script[i].substr(0, script[i].find('='));
                if (next == "case" || next == "do" || next == "refuse" || next == "sent") {
                    break;
                }
                expected.push_back(script[i]);
            }
            CHECK_EQUAL(joined(sent(wanted.get())), joined(expected));
            ++compared;
        }
    }
    CHECK(compared > 40);
}

TEST("wanted", "errors say what is wrong and change nothing") {
    const Wanted owner = nothing_wanted();
    bunraku_wanted *const wanted = owner.get();
    const std::string longest(BUNRAKU_NAME_BYTES - 1, 'n');
    const std::string too_long = longest + "n";
    const std::string longest_person(320, 'p'); // 80 characters of four bytes
    const std::string too_long_person = longest_person + "p";
    const float nan = std::numeric_limits<float>::quiet_NaN();
    CHECK_EQUAL(bunraku_wanted_hold(wanted, "jawOpen", nan), BUNRAKU_NOT_FINITE);
    CHECK_EQUAL(bunraku_wanted_hold(wanted, nullptr, 0.0f), BUNRAKU_BAD_ARGUMENT);
    CHECK_EQUAL(bunraku_wanted_hold(wanted, "", 0.0f), BUNRAKU_BAD_ARGUMENT);
    CHECK_EQUAL(bunraku_wanted_hold(wanted, too_long.c_str(), 0.0f), BUNRAKU_TOO_LARGE);
    CHECK_EQUAL(bunraku_wanted_release(wanted, nullptr), BUNRAKU_BAD_ARGUMENT);
    CHECK_EQUAL(bunraku_wanted_become(wanted, nullptr), BUNRAKU_BAD_ARGUMENT);
    CHECK_EQUAL(bunraku_wanted_become(wanted, too_long_person.c_str()), BUNRAKU_TOO_LARGE);
    CHECK_EQUAL(bunraku_wanted_mix(wanted, "Ren", nan), BUNRAKU_NOT_FINITE);
    CHECK_EQUAL(bunraku_wanted_mix(wanted, "Ren", 1.5f), BUNRAKU_BAD_ARGUMENT);
    CHECK_EQUAL(bunraku_wanted_mix(wanted, nullptr, 0.5f), BUNRAKU_BAD_ARGUMENT);
    CHECK_EQUAL(bunraku_wanted_truncate(wanted, nan), BUNRAKU_NOT_FINITE);
    CHECK_EQUAL(bunraku_wanted_express(wanted, nullptr), BUNRAKU_BAD_ARGUMENT);
    CHECK_EQUAL(bunraku_wanted_express(wanted, too_long_person.c_str()), BUNRAKU_TOO_LARGE);
    CHECK_EQUAL(bunraku_wanted_hold(nullptr, "jawOpen", 0.0f), BUNRAKU_BAD_ARGUMENT);
    CHECK_EQUAL(bunraku_wanted_calibrate(nullptr), BUNRAKU_BAD_ARGUMENT);
    CHECK_EQUAL(bunraku_send_wanted(nullptr, wanted, nullptr), BUNRAKU_BAD_ARGUMENT);
    bunraku_wanted_free(nullptr);
    CHECK(!wanted->state.has_changed());
    CHECK_EQUAL(bunraku_wanted_hold(wanted, longest.c_str(), 0.0f), BUNRAKU_OK);
    CHECK_EQUAL(bunraku_wanted_become(wanted, longest_person.c_str()), BUNRAKU_OK);
    CHECK_EQUAL(bunraku_wanted_express(wanted, longest_person.c_str()), BUNRAKU_OK);
    CHECK_EQUAL(joined(sent(wanted)),
                "sent=yes\nex." + longest + "=0.0000\nwho=name " + longest_person + "\nemo=" + longest_person + "\n");
}

TEST("wanted", "a state that could not be sent waits for the next change, and its calibration with it") {
    const Wanted owner = nothing_wanted();
    bunraku::Wanted &state = owner->state;
    state.calibrate();
    int asked = 0;
    const auto fail = [&](const bunraku_control_state &) {
        ++asked;
        return static_cast<std::int32_t>(BUNRAKU_NO_MEMORY);
    };
    CHECK_EQUAL(state.send(fail), BUNRAKU_NO_MEMORY);
    CHECK_EQUAL(state.send(fail), BUNRAKU_OK);
    CHECK_EQUAL(asked, 1);
    state.hold("jawOpen", 0.5f);
    CHECK_EQUAL(joined(sent(owner.get())), "sent=yes\nex.jawOpen=0.5000\ncal=yes\n");
}

TEST("wanted", "repeating sends everything but what was never changed, and no calibration") {
    const Wanted owner = nothing_wanted();
    bunraku_wanted *const wanted = owner.get();
    CHECK_EQUAL(bunraku_wanted_repeat(wanted), BUNRAKU_OK);
    CHECK_EQUAL(joined(sent(wanted)), "sent=no\n");
    bunraku_wanted_become(wanted, "Aki");
    bunraku_wanted_calibrate(wanted);
    CHECK_EQUAL(joined(sent(wanted)), "sent=yes\nwho=name Aki\ncal=yes\n");
    bunraku_wanted_repeat(wanted);
    CHECK_EQUAL(joined(sent(wanted)), "sent=yes\nwho=name Aki\n");
}
