#include "Client.h"

#include <array>
#include <atomic>
#include <utility>

namespace bunraku::core {

namespace {

constexpr std::size_t kWhyBytes = 512;
constexpr std::size_t kKeyBytes = 41;

std::atomic<int> open_clients{0};

const char* given(const std::string& text) {
    return text.empty() ? nullptr : text.c_str();
}

// The library's own sentence, or, where it wrote none, its words for the number.
std::string sentence(const std::array<char, kWhyBytes>& why, std::int32_t result) {
    return why[0] != '\0' ? std::string(why.data()) : std::string(bunraku_result_text(result));
}

}  // namespace

std::shared_ptr<Client> Client::open(const ClientOptions& options, std::string& why) {
    std::array<char, kWhyBytes> words{};
    std::array<char, kKeyBytes> server_key{};
    std::array<char, kKeyBytes> public_key{};
    std::array<char, kKeyBytes> secret_key{};

    bunraku_options asked{};
    asked.struct_size = sizeof asked;
    asked.encodings = options.encodings;
    asked.pixel_format = options.pixel_format;
    asked.endpoint = given(options.endpoint);
    asked.control_endpoint = given(options.control_endpoint);
    asked.stream = given(options.stream);
    asked.client_name = given(options.client_name);
    asked.wanted_fps = options.wanted_fps;

    if (!options.key_file.empty()) {
        const std::int32_t read = bunraku_read_key_file(options.key_file.c_str(), server_key.data(), public_key.data(),
                                                        secret_key.data(), words.data(), words.size());
        if (read < 0) {
            why = sentence(words, read);
            return nullptr;
        }
        asked.curve_server_key = server_key.data();
        asked.curve_public_key = public_key.data();
        asked.curve_secret_key = secret_key.data();
    }

    bunraku_client* handle = nullptr;
    const std::int32_t opened = bunraku_open(&asked, &handle, words.data(), words.size());
    secret_key.fill('\0');
    if (opened < 0) {
        why = sentence(words, opened);
        return nullptr;
    }
    return std::shared_ptr<Client>(new Client(handle));
}

int Client::open_count() {
    return open_clients.load();
}

Client::Client(bunraku_client* handle) : handle_(handle) {
    ++open_clients;
}

Client::~Client() {
    bunraku_close(handle_);
    --open_clients;
}

std::int32_t Client::acquire(bunraku_frame& frame) {
    frame = {};
    frame.struct_size = sizeof frame;
    return bunraku_acquire(handle_, &frame);
}

void Client::release(std::uint32_t lease) {
    bunraku_release(handle_, lease);
}

bunraku_status Client::status() const {
    bunraku_status status{};
    status.struct_size = sizeof status;
    bunraku_get_status(handle_, &status);
    return status;
}

std::int32_t Client::send(Wanted& wanted) {
    if (!std::exchange(was_sent_wanted_, true)) {
        wanted.repeat();
    }
    return wanted.send([this](const bunraku_control_state& state) { return bunraku_send_control(handle_, &state, nullptr); });
}

void Client::request_last() {
    bunraku_request_last(handle_);
}

bool Client::info(bunraku_info& info) const {
    info = {};
    info.struct_size = sizeof info;
    return bunraku_get_info(handle_, &info) >= 0;
}

bunraku_control_spec Client::control(std::uint32_t index) const {
    bunraku_control_spec spec{};
    spec.struct_size = sizeof spec;
    bunraku_get_control(handle_, index, &spec);
    return spec;
}

std::string Client::identity(std::uint32_t index) const {
    std::array<char, BUNRAKU_NAME_BYTES> name{};
    bunraku_get_identity(handle_, index, name.data(), name.size());
    return name.data();
}

std::string Client::expression(std::uint32_t index) const {
    std::array<char, BUNRAKU_NAME_BYTES> name{};
    bunraku_get_expression(handle_, index, name.data(), name.size());
    return name.data();
}

}  // namespace bunraku::core
