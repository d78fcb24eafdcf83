#include <cmath>
#include <limits>

#include "check.h"
#include "control_wire.h"
#include "messages.h"

using namespace bunraku;
using messages::Packer;
using messages::Part;

namespace {

struct Welcome {
    std::uint64_t proto = 1;
    std::int64_t width = 64;
    double fps = 60.0, minimum = 0.0, rest = 0.0, maximum = 1.0;

    Part bytes() const {
        Packer packer;
        packer([&](Writer &writer) {
            writer.map(4);
            writer.text("k");
            writer.text("welcome");
            writer.text("proto");
            writer.number(proto);
            writer.text("ses");
            writer.number(5);
            writer.text("info");
            writer.map(9);
            writer.text("session");
            writer.number(5);
            writer.text("stream");
            writer.text("aki");
            writer.text("character");
            writer.text("Aki");
            writer.text("width");
            writer.signed_number(width);
            writer.text("height");
            writer.number(48);
            writer.text("fps");
            writer.real(fps);
            writer.text("controls");
            writer.array(1);
            writer.map(5);
            writer.text("name");
            writer.text("jawOpen");
            writer.text("minimum");
            writer.real(minimum);
            writer.text("maximum");
            writer.real(maximum);
            writer.text("rest");
            writer.real(rest);
            writer.text("group");
            writer.text("mouth");
            writer.text("identities");
            writer.array(2);
            writer.text("one");
            writer.text("two");
            writer.text("expressions");
            writer.array(1);
            writer.map(2);
            writer.text("name");
            writer.text("happy");
            writer.text("hotkey");
            writer.text("1");
        });
        return packer.bytes;
    }
};

std::string verdict(const Part &bytes, ServerMessage &message) {
    Rejection why;
    message = {};
    if (!read_server_message({bytes.data(), bytes.size()}, message, why)) {
        return why.code;
    }
    return message.kind == Answer::welcome ? "welcome" : message.kind == Answer::refuse ? "refuse" : "pong";
}

std::string verdict(const Welcome &welcome) {
    ServerMessage message;
    return verdict(welcome.bytes(), message);
}

bunraku_control_state empty_state() {
    bunraku_control_state state{};
    state.struct_size = sizeof state;
    state.seed = state.mix_seed = -1;
    state.truncation_psi = -1.0f;
    return state;
}

// A packed set, looked at from outside.
Part set_of(const bunraku_control_state &state) {
    PackedState packed;
    CHECK_EQUAL(pack_state(state, packed), BUNRAKU_OK);
    Packer packer;
    packer([&](Writer &writer) { write_set(writer, packed, 12, -3); });
    Rejection why;
    CHECK(check_map(packer.bytes.data(), packer.bytes.size(), MAX_MAP_KEYS, why));
    return packer.bytes;
}

bool has(const Part &bytes, const char *key, Value &value) {
    const Map map(bytes.data(), bytes.data() + bytes.size());
    return map.find(key, value);
}

} // namespace

TEST("control_wire", "a welcome is read whole") {
    ServerMessage message;
    REQUIRE(verdict(Welcome{}.bytes(), message) == "welcome");
    CHECK_EQUAL(message.info.session, 5u);
    CHECK_EQUAL(message.info.width, 64u);
    CHECK_EQUAL(message.info.fps, 60.0);
    CHECK_EQUAL(message.info.character, "Aki");
    CHECK_EQUAL(message.info.controls.at(0).name, "jawOpen");
    CHECK_EQUAL(message.info.controls.at(0).group, "mouth");
    CHECK_EQUAL(message.info.identities.at(1), "two");
    CHECK_EQUAL(message.info.expressions.at(0), "happy");
}

TEST("control_wire", "an impossible welcome is refused") {
    Welcome welcome;
    welcome.width = 0;
    CHECK_EQUAL(verdict(welcome), "size");
    welcome = {};
    welcome.width = 8193;
    CHECK_EQUAL(verdict(welcome), "size");
    welcome = {};
    welcome.fps = -1.0;
    CHECK_EQUAL(verdict(welcome), "number");
    welcome = {};
    welcome.rest = 2.0;
    CHECK_EQUAL(verdict(welcome), "number");
    welcome = {};
    welcome.maximum = std::numeric_limits<double>::infinity();
    CHECK_EQUAL(verdict(welcome), "number");
    welcome = {};
    welcome.minimum = std::nan("");
    CHECK_EQUAL(verdict(welcome), "number");
    welcome = {};
    welcome.proto = 2;
    CHECK_EQUAL(verdict(welcome), "version");
}

TEST("control_wire", "refusals, pongs, and what is neither") {
    ServerMessage message;
    Packer refusal;
    refusal([](Writer &writer) {
        writer.map(3);
        writer.text("k");
        writer.text("refuse");
        writer.text("code");
        writer.text("control");
        writer.text("text");
        writer.text("no such control");
    });
    CHECK_EQUAL(verdict(refusal.bytes, message), "refuse");
    CHECK_EQUAL(message.code, "control");
    Packer pong;
    pong([](Writer &writer) {
        writer.map(4);
        writer.text("k");
        writer.text("pong");
        writer.text("t");
        writer.signed_number(-1);
        writer.text("r");
        writer.number(1);
        writer.text("ses");
        writer.number(9);
    });
    CHECK_EQUAL(verdict(pong.bytes, message), "pong");
    CHECK_EQUAL(message.session, 9u);
    CHECK_EQUAL(verdict(Part{0x80}, message), "kind");
    CHECK_EQUAL(verdict(Part{0x81, 0xa1, 'k', 0xa4, 'p', 'o', 'n', 'g'}, message), "header");
    CHECK_EQUAL(verdict(Part{}, message), "msgpack");
}

TEST("control_wire", "a state says only what it holds") {
    Value value;
    bunraku_control_state state = empty_state();
    const Part nothing = set_of(state);
    for (const char *key : {"ex", "who", "mix", "psi", "emo", "cal"}) {
        CHECK(!has(nothing, key, value));
    }
    CHECK(has(nothing, "cid", value) && value.bits == 12);
    CHECK(has(nothing, "ts", value) && static_cast<std::int64_t>(value.bits) == -3);

    const bunraku_control controls[] = {{"jawOpen", 0.5f, 0}, {"headYaw", -10.0f, 0}};
    state.controls = controls;
    state.control_count = 2;
    state.seed = 77;
    state.mix_identity = "two";
    state.mix_amount = 0.25f;
    state.truncation_psi = 0.0f;
    state.expression = "";
    state.calibrate = 1;
    const Part all = set_of(state);
    CHECK(has(all, "ex", value) && value.type == Type::map && value.size == 2);
    CHECK(has(all, "who", value) && value.bits == 77);
    CHECK(has(all, "mix", value) && value.size == 2);
    CHECK(has(all, "psi", value) && value.real == 0.0);
    CHECK(has(all, "emo", value) && value.type == Type::string && value.size == 0);
    CHECK(has(all, "cal", value) && value.boolean);
}

TEST("control_wire", "what cannot be sent is refused at once") {
    PackedState packed;
    bunraku_control_state state = empty_state();
    bunraku_control control{"jawOpen", std::nanf(""), 0};
    state.controls = &control;
    state.control_count = 1;
    CHECK_EQUAL(pack_state(state, packed), BUNRAKU_NOT_FINITE);
    control.value = 0.0f;
    control.name = nullptr;
    CHECK_EQUAL(pack_state(state, packed), BUNRAKU_BAD_ARGUMENT);
    state.controls = nullptr;
    CHECK_EQUAL(pack_state(state, packed), BUNRAKU_BAD_ARGUMENT);
    state.control_count = 257;
    CHECK_EQUAL(pack_state(state, packed), BUNRAKU_TOO_LARGE);
    state = empty_state();
    state.truncation_psi = std::numeric_limits<float>::infinity();
    CHECK_EQUAL(pack_state(state, packed), BUNRAKU_NOT_FINITE);
    state = empty_state();
    const std::string endless(70000, 'x');
    state.expression = endless.c_str();
    CHECK_EQUAL(pack_state(state, packed), BUNRAKU_TOO_LARGE);
}
