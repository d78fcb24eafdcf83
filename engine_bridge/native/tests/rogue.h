// A hostile producer on a raw socket: shakes hands as ZMTP 3.0 wants it, then sends one message that never ends. Linux.
#pragma once

#ifdef __linux__

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>
#include <thread>

class Rogue {
public:
    // kind: the socket type to pose as; part_bytes: of every part.
    Rogue(std::string kind, std::size_t part_bytes) : kind_(std::move(kind)) {
        while (part_.size() < 64 * 1024) {
            if (part_bytes < 256) {
                part_ += {'\x01', static_cast<char>(part_bytes)};
            } else {
                part_ += std::string("\x03\0\0\0\0\0\0", 7) + static_cast<char>(part_bytes >> 8) +
                         static_cast<char>(part_bytes & 0xff);
            }
            part_.append(part_bytes, 'x');
        }
        listener_ = socket(AF_INET, SOCK_STREAM, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        bind(listener_, reinterpret_cast<sockaddr *>(&address), sizeof address);
        listen(listener_, 8);
        getsockname(listener_, reinterpret_cast<sockaddr *>(&address), &size);
        endpoint = "tcp://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
        thread_ = std::thread([this] { serve(); });
    }
    ~Rogue() {
        stop_ = true;
        thread_.join();
        ::close(listener_);
    }
    Rogue(const Rogue &) = delete;
    Rogue &operator=(const Rogue &) = delete;

    std::string endpoint;
    std::atomic<std::size_t> connections{0};

private:
    void serve() {
        while (!stop_) {
            pollfd item = {listener_, POLLIN, 0};
            if (poll(&item, 1, 10) == 1) {
                const int peer = accept(listener_, nullptr, nullptr);
                ++connections;
                flood(peer);
                ::close(peer);
            }
        }
    }

    void flood(int peer) {
        const timeval patience = {0, 100'000};
        setsockopt(peer, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        std::string hello = std::string("\xff\0\0\0\0\0\0\0\0\x7f\x03\0", 12) + "NULL";
        hello.resize(64, '\0');
        std::string ready = std::string("\x05READY\x0bSocket-Type\0\0\0", 21) + static_cast<char>(kind_.size()) + kind_;
        ready = std::string("\x04") + static_cast<char>(ready.size()) + ready;
        // What follows must wait for the client's own greeting and READY: it takes no message before it has sent them.
        char answer[64];
        char head[2];
        if (!say(peer, hello) || !say(peer, ready) || recv(peer, answer, sizeof answer, MSG_WAITALL) != sizeof answer ||
            recv(peer, head, sizeof head, MSG_WAITALL) != sizeof head ||
            recv(peer, answer, std::min<std::size_t>(sizeof answer, head[1]), MSG_WAITALL) != head[1]) {
            return;
        }
        while (!stop_ && say(peer, part_)) {
        }
    }

    bool say(int peer, const std::string &bytes) {
        for (std::size_t at = 0; at < bytes.size();) {
            const ssize_t sent = send(peer, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
            if (sent < 0 && (errno != EAGAIN || stop_)) {
                return false;
            }
            at += sent > 0 ? static_cast<std::size_t>(sent) : 0;
        }
        return true;
    }

    const std::string kind_;
    std::string part_;
    int listener_ = -1;
    std::atomic<bool> stop_{false};
    std::thread thread_;
};

#endif
