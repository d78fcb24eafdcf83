/* The node BunrakuNativeReceiver: shows a live character and moves it, through the native client library. */
#ifndef BUNRAKU_NATIVE_RECEIVER_H
#define BUNRAKU_NATIVE_RECEIVER_H

#include <bunraku/client.h>

#include "class_binding.h"

/* Make the class known to Godot; at the level of scenes. */
void native_receiver_register(GDExtensionClassLibraryPtr library);

/* Take it away again; all its nodes are gone by then. */
void native_receiver_unregister(GDExtensionClassLibraryPtr library);

/* What is wanted of a node's character; the node owns it. */
bunraku_wanted *native_receiver_wanted(receiver *self);

#endif /* BUNRAKU_NATIVE_RECEIVER_H */
