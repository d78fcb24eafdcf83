// What this build can do.
#pragma once

#include <cstdint>

#include "bunraku/client.h"

namespace bunraku {

constexpr std::uint32_t BUILT_ENCODINGS = BUNRAKU_RAW | BUNRAKU_SHM
#if defined(BUNRAKU_WITH_LZ4)
                                          | BUNRAKU_LZ4
#endif
#if defined(BUNRAKU_WITH_JPEG)
                                          | BUNRAKU_JPEG
#endif
    ;

} // namespace bunraku
