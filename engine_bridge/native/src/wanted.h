// What stands behind a bunraku_wanted.
#pragma once

#include <mutex>

#include "bunraku/wanted.hpp"

struct bunraku_wanted {
    std::mutex mutex; // verbs may come from any thread
    bunraku::Wanted state;
};
