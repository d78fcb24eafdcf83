// Why a connection does not come about: what libzmq tells of failed handshakes, put into words. Pure. Twin of
// engine_bridge/sockets/handshake.py.
//
// libzmq gives up for good after a refused key or another mechanism, so a client that hears of it must reconnect.
#pragma once

#include <string>

#include "sockets.h"

namespace bunraku {

// Tells refusals from mishaps, over all connections of one client.
class HandshakeJudge {
public:
    explicit HandshakeJudge(std::string own_public_key, std::string server_key)
        : own_public_key_(std::move(own_public_key)), server_key_(std::move(server_key)) {}

    // Why the connection is hopeless and what to do, for people; empty to go on.
    std::string refusal_in(const HandshakeEvent &event, const std::string &endpoint);

private:
    static constexpr int HANG_UPS = 3; // in a row; a producer that dies during a handshake hangs up once

    bool has_keys() const { return !server_key_.empty(); }
    std::string not_admitted(int status, const std::string &endpoint) const;
    std::string not_understood(int detail, const std::string &endpoint) const;
    std::string hung_up(const std::string &endpoint);

    std::string own_public_key_;
    std::string server_key_;
    int hang_ups_ = 0;
};

} // namespace bunraku
