#include "endpoint.h"

#include <zmq.h>

#include <algorithm>

namespace bunraku {
namespace {

struct Tcp {
    std::string_view host, port;
};

bool is_digit(char byte) { return byte >= '0' && byte <= '9'; }

bool is_host_byte(char byte) {
    return is_digit(byte) || (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || byte == '.' ||
           byte == '_' || byte == '-';
}

bool is_address_byte(char byte) {
    return is_digit(byte) || (byte >= 'a' && byte <= 'f') || (byte >= 'A' && byte <= 'F') || byte == '.' || byte == ':';
}

bool split_tcp(std::string_view endpoint, Tcp &tcp) {
    constexpr std::string_view SCHEME = "tcp://";
    if (endpoint.substr(0, SCHEME.size()) != SCHEME) {
        return false;
    }
    const std::string_view rest = endpoint.substr(SCHEME.size());
    const std::size_t colon = rest.rfind(':');
    if (colon == std::string_view::npos || colon == 0) {
        return false;
    }
    tcp = {rest.substr(0, colon), rest.substr(colon + 1)};
    const std::string_view host = tcp.host;
    const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']' &&
                           std::all_of(host.begin() + 1, host.end() - 1, is_address_byte);
    return (bracketed || std::all_of(host.begin(), host.end(), is_host_byte)) && !tcp.port.empty() &&
           tcp.port.size() <= 5 && std::all_of(tcp.port.begin(), tcp.port.end(), is_digit);
}

int port_number(std::string_view digits) {
    int number = 0;
    for (const char digit : digits) {
        number = 10 * number + (digit - '0');
    }
    return number;
}

bool is_every_address(std::string_view host) { return host == "0.0.0.0" || host == "[::]"; }

bool is_loopback(std::string_view host) {
    return host == "localhost" || host == "[::1]" || host.substr(0, 4) == "127.";
}

bool is_ipc(std::string_view endpoint) { return endpoint.size() > 6 && endpoint.substr(0, 6) == "ipc://"; }

} // namespace

bool check_endpoint(std::string_view endpoint, Rejection &why) {
    const int length = static_cast<int>(std::min<std::size_t>(endpoint.size(), 128));
    if (is_ipc(endpoint)) {
        return zmq_has("ipc") != 0 ||
               why.because("", "%.*s: this build has no ipc; use tcp://127.0.0.1:PORT", length, endpoint.data());
    }
    Tcp tcp;
    if (!split_tcp(endpoint, tcp) || port_number(tcp.port) > 65535) {
        return why.because("", "'%.*s' is not a valid endpoint. Write tcp://HOST:PORT, for example tcp://127.0.0.1:5760",
                           length, endpoint.data());
    }
    if (is_every_address(tcp.host) || port_number(tcp.port) == 0) {
        return why.because("", "%.*s names no host and port to connect to. Give both, as in tcp://127.0.0.1:5760",
                           length, endpoint.data());
    }
    return true;
}

bool is_local(std::string_view endpoint) {
    Tcp tcp;
    return is_ipc(endpoint) || (split_tcp(endpoint, tcp) && is_loopback(tcp.host));
}

std::string reachable_control_endpoint(std::string_view told, std::string_view frames) {
    Tcp control;
    Tcp there;
    if (split_tcp(told, control) && split_tcp(frames, there) &&
        (is_every_address(control.host) || (is_loopback(control.host) && !is_loopback(there.host)))) {
        return "tcp://" + std::string(there.host) + ":" + std::string(control.port);
    }
    return std::string(told);
}

} // namespace bunraku
