#include "stand_in_client.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "bunraku/client.h"

namespace {

struct Picture {
    std::uint64_t frame_id = 0;
    std::uint32_t width = 0;
    std::uint32_t height = 0;
};

struct Slot {
    bool leased = false;
    std::vector<std::uint8_t> pixels;
};

std::mutex gate;
std::set<bunraku_client*> clients;
std::int32_t next_send_answer = BUNRAKU_OK;
int misuse_count = 0;
int state_count = 0;
int last_controls = 0;

}  // namespace

struct bunraku_client {
    Picture newest;
    std::uint64_t taken = 0;
    std::array<Slot, BUNRAKU_MAX_LEASES> slots;
};

namespace {

bool known(bunraku_client* client) {
    const bool open = clients.count(client) != 0;
    misuse_count += open ? 0 : 1;
    return open;
}

void say(char* why, std::size_t why_bytes, const char* sentence) {
    if (why != nullptr && why_bytes > 0) {
        std::strncpy(why, sentence, why_bytes - 1);
        why[why_bytes - 1] = '\0';
    }
}

}  // namespace

namespace stand_in {

void publish(std::uint64_t frame_id, std::uint32_t width, std::uint32_t height) {
    const std::lock_guard<std::mutex> hold(gate);
    for (bunraku_client* client : clients) {
        client->newest = {frame_id, width, height};
    }
}

void answer_next_send(std::int32_t result) {
    const std::lock_guard<std::mutex> hold(gate);
    next_send_answer = result;
}

int states_sent() {
    const std::lock_guard<std::mutex> hold(gate);
    return state_count;
}

int controls_sent() {
    const std::lock_guard<std::mutex> hold(gate);
    return last_controls;
}

int open_clients() {
    const std::lock_guard<std::mutex> hold(gate);
    return static_cast<int>(clients.size());
}

int leases() {
    const std::lock_guard<std::mutex> hold(gate);
    int count = 0;
    for (const bunraku_client* client : clients) {
        count += static_cast<int>(std::count_if(client->slots.begin(), client->slots.end(),
                                                [](const Slot& slot) { return slot.leased; }));
    }
    return count;
}

int misuses() {
    const std::lock_guard<std::mutex> hold(gate);
    return misuse_count;
}

}  // namespace stand_in

extern "C" {

uint32_t bunraku_abi_version(void) {
    return BUNRAKU_ABI_VERSION;
}

const char* bunraku_result_text(int32_t) {
    return "something went wrong";
}

int32_t bunraku_open(const bunraku_options* options, bunraku_client** client, char* why, size_t why_bytes) {
    if (options->endpoint != nullptr && std::strncmp(options->endpoint, "tcp://", 6) != 0) {
        say(why, why_bytes, "the endpoint is malformed");
        return BUNRAKU_BAD_ENDPOINT;
    }
    if (options->stream != nullptr && std::strlen(options->stream) > 59) {
        return BUNRAKU_BAD_ENDPOINT;
    }
    const std::lock_guard<std::mutex> hold(gate);
    *client = new bunraku_client;
    clients.insert(*client);
    return BUNRAKU_OK;
}

void bunraku_close(bunraku_client* client) {
    {
        const std::lock_guard<std::mutex> hold(gate);
        if (!known(client)) {
            return;
        }
        clients.erase(client);
    }
    delete client;
}

int32_t bunraku_acquire(bunraku_client* client, bunraku_frame* frame) {
    const std::lock_guard<std::mutex> hold(gate);
    if (!known(client)) {
        return BUNRAKU_BAD_ARGUMENT;
    }
    if (client->newest.frame_id == client->taken) {
        return BUNRAKU_OK;
    }
    for (std::size_t index = 0; index < client->slots.size(); ++index) {
        Slot& slot = client->slots[index];
        if (slot.leased) {
            continue;
        }
        slot.leased = true;
        const Picture& picture = client->newest;
        slot.pixels.assign(std::size_t{4} * picture.width * picture.height, stand_in::shade_of(picture.frame_id));
        client->taken = picture.frame_id;
        frame->lease = static_cast<std::uint32_t>(index);
        frame->width = picture.width;
        frame->height = picture.height;
        frame->stride = 4 * picture.width;
        frame->byte_count = slot.pixels.size();
        frame->pixels = slot.pixels.data();
        frame->frame_id = picture.frame_id;
        return BUNRAKU_NEW_FRAME;
    }
    return BUNRAKU_TOO_MANY;
}

int32_t bunraku_release(bunraku_client* client, uint32_t lease) {
    const std::lock_guard<std::mutex> hold(gate);
    if (!known(client)) {
        return BUNRAKU_BAD_ARGUMENT;
    }
    Slot& slot = client->slots.at(lease);
    misuse_count += slot.leased ? 0 : 1;
    slot.leased = false;
    std::fill(slot.pixels.begin(), slot.pixels.end(), stand_in::kOverwritten);
    return BUNRAKU_OK;
}

int32_t bunraku_get_status(bunraku_client*, bunraku_status* status) {
    status->state = BUNRAKU_LIVE;
    return BUNRAKU_OK;
}

int32_t bunraku_get_info(bunraku_client*, bunraku_info*) {
    return BUNRAKU_NOT_FOUND;
}

int32_t bunraku_get_control(bunraku_client*, uint32_t, bunraku_control_spec*) {
    return BUNRAKU_NOT_FOUND;
}

int32_t bunraku_get_identity(bunraku_client*, uint32_t, char*, size_t) {
    return BUNRAKU_NOT_FOUND;
}

int32_t bunraku_get_expression(bunraku_client*, uint32_t, char*, size_t) {
    return BUNRAKU_NOT_FOUND;
}

int32_t bunraku_send_control(bunraku_client*, const bunraku_control_state* state, uint64_t*) {
    const std::lock_guard<std::mutex> hold(gate);
    ++state_count;
    last_controls = static_cast<int>(state->control_count);
    const std::int32_t answer = next_send_answer;
    next_send_answer = BUNRAKU_OK;
    return answer;
}

int32_t bunraku_request_last(bunraku_client*) {
    return BUNRAKU_OK;
}

int32_t bunraku_read_key_file(const char* path, char*, char*, char*, char* why, size_t why_bytes) {
    const std::string sentence = std::string(path) + " cannot be read";
    say(why, why_bytes, sentence.c_str());
    return BUNRAKU_NOT_FOUND;
}

}  // extern "C"
