/* The verbs of docs/protocol.md as methods of the node. */
#ifndef BUNRAKU_VERBS_H
#define BUNRAKU_VERBS_H

#include <stddef.h>

#include "class_binding.h"

extern method verbs[];
extern const size_t verb_count;

#endif /* BUNRAKU_VERBS_H */
