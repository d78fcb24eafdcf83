#pragma once

#include "CoreMinimal.h"

// Waits until the render thread has run everything that was given to it.
void FlushRenderingCommands();

namespace stub
{
// Runs commands in order on a real thread of its own, some time later.
void EnqueueRenderCommand(TFunction<void()> Command);

// Hold the render thread before its next command, and let it go on.
void PauseRenderThread();
void ResumeRenderThread();

int RenderCommandsWaiting();
bool IsInRenderThread();
}
