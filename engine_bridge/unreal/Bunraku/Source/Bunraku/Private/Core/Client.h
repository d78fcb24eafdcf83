// One open native client, shared by everything that may still need it. Plain C++17: knows no Unreal types.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "bunraku/client.h"
#include "bunraku/wanted.hpp"

namespace bunraku::core {

// What bunraku_open is told; empty strings mean "not given".
struct ClientOptions {
    std::string endpoint;
    std::string control_endpoint;
    std::string stream;
    std::string client_name;
    std::string key_file;
    std::uint32_t encodings = 0;
    std::uint32_t pixel_format = BUNRAKU_BGRA8;
    float wanted_fps = 0.0f;
};

/*
 * Owns a bunraku_client. Whoever lets go of it last closes it, on whatever thread that happens: while a texture update
 * is under way its pixels belong to this client, so an update holds one too.
 */
class Client {
public:
    // Null if it cannot be opened; `why` then holds a sentence for people.
    static std::shared_ptr<Client> open(const ClientOptions& options, std::string& why);

    // How many are open in this process; the library must not be unloaded while there is one.
    static int open_count();

    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;
    ~Client();

    // As bunraku_acquire. The lease must be given back through this object.
    std::int32_t acquire(bunraku_frame& frame);
    void release(std::uint32_t lease);

    bunraku_status status() const;

    // Sends what is wanted if it changed, or if this client was not sent it before. One thread at a time.
    std::int32_t send(Wanted& wanted);
    void request_last();

    // False until the producer has welcomed this client.
    bool info(bunraku_info& info) const;
    bunraku_control_spec control(std::uint32_t index) const;
    std::string identity(std::uint32_t index) const;
    std::string expression(std::uint32_t index) const;

private:
    explicit Client(bunraku_client* handle);

    bunraku_client* handle_;
    bool was_sent_wanted_ = false;
};

}  // namespace bunraku::core
