// Addresses of producers. Knows strings, opens nothing. Twin of engine_bridge/access/endpoints.py.
#pragma once

#include <string>
#include <string_view>

#include "rejection.h"

namespace bunraku {

// Whether one can connect there: tcp://HOST:PORT, or ipc://PATH where libzmq has it. Otherwise why (no code).
bool check_endpoint(std::string_view endpoint, Rejection &why);

// Whether it is on this host.
bool is_local(std::string_view endpoint);

// The control endpoint that a producer tells, as seen from here: a producer that names its own loopback or "every
// address" while its frames come from elsewhere is met at that elsewhere.
std::string reachable_control_endpoint(std::string_view told, std::string_view frames);

} // namespace bunraku
