#include "handshake.h"

#include <zmq.h>

#include <cerrno>

namespace bunraku {
namespace {

constexpr int NOT_ON_THE_LIST = 400; // ZAP's status

} // namespace

std::string HandshakeJudge::refusal_in(const HandshakeEvent &event, const std::string &endpoint) {
    switch (event.number) {
    case ZMQ_EVENT_HANDSHAKE_SUCCEEDED: hang_ups_ = 0; return {};
    case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH: return not_admitted(event.value, endpoint);
    case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL: return not_understood(event.value, endpoint);
    case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
        // EAGAIN: silent for too long, as a stopped producer is.
        return event.value == EAGAIN ? std::string() : hung_up(endpoint);
    default: return {};
    }
}

std::string HandshakeJudge::not_admitted(int status, const std::string &endpoint) const {
    if (!has_keys() || status != NOT_ON_THE_LIST) {
        return endpoint + " cannot tell who may connect; its log says why";
    }
    return endpoint +
           " refused this client's key, which is not on its list. On the producer's machine: bunraku keys add " +
           "NAME --public '" + own_public_key_ + "'";
}

std::string HandshakeJudge::not_understood(int detail, const std::string &endpoint) const {
    if (detail != ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH) {
        return "The handshake with " + endpoint + " failed. Is a producer behind it?";
    }
    if (has_keys()) {
        return endpoint + " has no keys, and this client, which has some, talks to nobody without. Start the producer "
                          "with --keys, or leave the key out";
    }
    return endpoint +
           " talks only to clients with keys. Make a key file on the producer's machine with bunraku keys add "
           "NAME, carry it here and open with it";
}

std::string HandshakeJudge::hung_up(const std::string &endpoint) {
    ++hang_ups_;
    if (!has_keys() || hang_ups_ < HANG_UPS) {
        return {};
    }
    return endpoint + " hangs up on this client: it has no keys, or another one than " + server_key_ +
           " in this client's file (bunraku keys list over there shows it)";
}

} // namespace bunraku
