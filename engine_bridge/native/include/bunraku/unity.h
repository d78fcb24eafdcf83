/*
 * Bunraku in Unity: textures updated on the render thread, without a line of C# per pixel.
 *
 * CommandBuffer.IssuePluginCustomTextureUpdateV2(callback, texture, handle) makes Unity call the native callback on its
 * render thread, which answers with the pixels of the newest frame, leased until Unity has read them:
 *
 *     game thread:   bunraku_acquire, to learn of a new frame and its size; recreate the texture if the size changed;
 *                    bunraku_release; IssuePluginCustomTextureUpdateV2
 *     render thread: the callback gives the newest frame, whether or not it was acquired before, if the texture has its
 *                    size and four bytes per pixel; otherwise nothing, and the texture stays as it is
 *
 * Handles are numbers, never pointers, and an old one is harmless. Twin: unity/Runtime/Interop/Native.cs.
 */
#ifndef BUNRAKU_UNITY_H
#define BUNRAKU_UNITY_H

#include "client.h"

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#define BUNRAKU_UNITY_CALL __stdcall
#else
#define BUNRAKU_UNITY_CALL
#endif

typedef void(BUNRAKU_UNITY_CALL *bunraku_unity_callback)(int event, void *data);

enum { BUNRAKU_UNITY_MAX_HANDLES = 64 };

/* The function for IssuePluginCustomTextureUpdateV2; the same for all clients, valid as long as the library is loaded. */
BUNRAKU_CLIENT_API bunraku_unity_callback bunraku_unity_texture_callback(void);

/*
 * Let the callback serve this client's frames. Returns the handle to pass as userData, 0 if client is null or
 * BUNRAKU_UNITY_MAX_HANDLES clients are registered already.
 */
BUNRAKU_CLIENT_API uint32_t bunraku_unity_register(bunraku_client *client);

/*
 * Call it before bunraku_close. Waits for an update that is running, at most a second; even one that never ends keeps
 * its pixels. BUNRAKU_NOT_FOUND if there is no such handle (any more).
 */
BUNRAKU_CLIENT_API int32_t bunraku_unity_unregister(uint32_t handle);

#ifdef __cplusplus
}
#endif

#endif /* BUNRAKU_UNITY_H */
