// The native client's header, as this module has to include it.
#pragma once

// Unreal's build tool defines BUNRAKU_API for what the module "Bunraku" exports; the header uses the same name for what
// the native client exports. Each gets its own.
#pragma push_macro("BUNRAKU_API")
#undef BUNRAKU_API
#include "bunraku/client.h"
#pragma pop_macro("BUNRAKU_API")
